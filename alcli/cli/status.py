"""``alcli status``."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import click

from alcli.cli import _options as options
from alcli.curves.metrics import metric_name
from alcli.errors import DONE, ENOUGH

if TYPE_CHECKING:
    from alcli.curves.history import CycleFacts
    from alcli.curves.outlook import Outlook

SHOWN = 10
LIGHTS = {"go on": ("green", "●"), "unsure": ("yellow", "●"), "stop": ("red", "●")}


@click.command(short_help="Show pool, cycles, whether to go on, and the next command.")
@click.option("--exit-code", is_flag=True, help="Exit 20 when stopping is advised; for cron.")
@options.shared
def command(session: options.Session, exit_code: bool) -> int:
    """Show the pool, the last cycles, whether another one is worth it, and the next command.

    \b
    Examples:
      alcli status
      alcli status -w W --json
      alcli status -w W --exit-code -q || mail -s "cells: enough labels?" lead@example.com
    """
    from alcli.cli.forecast import as_document
    from alcli.config import load
    from alcli.curves.history import history
    from alcli.curves.outlook import means_of, outlook
    from alcli.items import UNLABELED

    with session.reading() as workspace:
        counts = workspace.store.counts()
        cycles = history(workspace)
        refused = len(workspace.store.quarantine_entries())
        config = load(workspace.root, session.overrides)
        ahead = outlook(cycles, config.report.target, means_of(workspace, config, counts[UNLABELED]))
    document: dict[str, Any] = {
        "workspace": str(session.root),
        "pool": counts,
        "cycles": [_cycle(row) for row in cycles],
        "left_out": refused,
        "advice": ahead.advice or None,
        "outlook": as_document(ahead),
        "next": _next(cycles),
    }
    shown = ", ".join(f"{count} {state}" for state, count in counts.items())
    session.console.result(document, f"{session.root}: {shown}")
    session.console.table(
        "Cycles" if len(cycles) <= SHOWN else f"The last {SHOWN} of {len(cycles)} cycles",
        ("cycle", "finished", "trained on", "metric", "correlation", "strategy", "ranked"),
        [_row(row) for row in cycles[-SHOWN:]],
    )
    if not session.console.as_json and not session.console.quiet:
        if refused:
            click.echo(f"{refused} left out with a reason: alcli list quarantine")
        if cycles:
            _show_advice(ahead)
        click.echo(f"Next: {document['next']}")
    return ENOUGH if exit_code and ahead.advice == "stop" else DONE


def _show_advice(ahead: Outlook) -> None:
    if not ahead.advice:
        click.echo(f"Go on or stop? {ahead.text}")
        return
    colour, light = LIGHTS[ahead.advice]
    click.echo(f"{click.style(light, fg=colour)} {ahead.advice.capitalize()}: {ahead.text}")


def _cycle(row: CycleFacts) -> dict[str, Any]:
    metrics = {name: value if math.isfinite(value) else None for name, value in row.metrics.items()}
    return {
        "cycle": row.number,
        "started": row.started,
        "finished": row.finished,
        "steps_done": list(row.steps_done),
        "trained_on": row.trained_on if "train" in row.steps_done else "",
        "metrics": metrics,
        "strategy": row.strategy,
        "ranked": row.ranked if "score" in row.steps_done else "",
    }


def _row(row: CycleFacts) -> tuple[Any, ...]:
    facts = _cycle(row)
    metric = f"{metric_name(row.headline[0])} {row.headline[1]:.3f}" if row.headline else ""
    correlation = "" if row.correlation is None else f"{row.correlation:+.2f}"
    return (
        row.number,
        row.finished or "open",
        facts["trained_on"],
        metric,
        correlation,
        row.strategy,
        facts["ranked"],
    )


def _next(cycles: list[CycleFacts]) -> str:
    if cycles and cycles[-1].finished is None:
        return "alcli cycle    (goes on with the open cycle)"
    if not cycles:
        return "alcli cycle"
    return "annotate the head of the queue, then: alcli cycle"
