"""Show the pool, the last cycles, and what to do next."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import click

from alcli.cli import _options as options
from alcli.errors import DONE, ENOUGH

if TYPE_CHECKING:
    from alcli.curves.history import CycleFacts
    from alcli.curves.outlook import Outlook

SHOWN_CYCLES = 10
LIGHTS = {"go on": ("green", "●"), "unsure": ("yellow", "●"), "stop": ("red", "●")}


@click.command()
@click.option("--exit-code", is_flag=True, help="Exit with code 20 if the advice is to stop; for scripts.")
@options.shared
def command(session: options.Session, exit_code: bool) -> int:
    """Show the pool, the last cycles, whether another cycle is worthwhile, and the next command.

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

    with session.open_workspace() as workspace:
        counts = workspace.store.counts()
        cycles = history(workspace)
        refused = len(workspace.store.quarantine_entries())
        config = load(workspace.root, session.overrides)
        ahead = outlook(cycles, config.report.target, means_of(workspace, config, counts[UNLABELED]))
    document: dict[str, Any] = {
        "workspace": str(session.root),
        "pool": counts,
        "cycles": [_document(cycle) for cycle in cycles],
        "left_out": refused,
        "advice": ahead.advice or None,
        "outlook": as_document(ahead),
        "next": _next(cycles, counts[UNLABELED]),
    }
    shown = ", ".join(f"{count} {state}" for state, count in counts.items())
    session.console.result(document, f"{session.root}: {shown}")
    session.console.table(
        "Cycles" if len(cycles) <= SHOWN_CYCLES else f"The last {SHOWN_CYCLES} of {len(cycles)} cycles",
        ("cycle", "finished", "trained on", "metric", "correlation", "strategy", "ranked"),
        [_cells(cycle) for cycle in cycles[-SHOWN_CYCLES:]],
    )
    if not session.console.as_json and not session.console.quiet:
        if refused:
            click.echo(f"{refused} images were left out; reasons: alcli list quarantine")
        if cycles:
            _show_advice(ahead)
        click.echo(f"Next: {document['next']}")
    return ENOUGH if exit_code and ahead.advice == "stop" else DONE


def _show_advice(ahead: Outlook) -> None:
    if not ahead.advice:
        click.echo(f"Continue or stop? {ahead.text}")
        return
    color, light = LIGHTS[ahead.advice]
    click.echo(f"{click.style(light, fg=color)} {ahead.advice.capitalize()}: {ahead.text}")


def _document(cycle: CycleFacts) -> dict[str, Any]:
    metrics = {name: value if math.isfinite(value) else None for name, value in cycle.metrics.items()}
    return {
        "cycle": cycle.number,
        "started": cycle.started,
        "finished": cycle.finished,
        "steps_done": list(cycle.steps_done),
        "trained_on": cycle.trained_on if "train" in cycle.steps_done else "",
        "metrics": metrics,
        "strategy": cycle.strategy,
        "ranked": cycle.ranked if "score" in cycle.steps_done else "",
    }


def _cells(cycle: CycleFacts) -> tuple[Any, ...]:
    from alcli.curves.metrics import metric_name

    document = _document(cycle)
    return (
        cycle.number,
        cycle.finished or "open",
        document["trained_on"],
        f"{metric_name(cycle.headline[0])} {cycle.headline[1]:.3f}" if cycle.headline else "",
        "" if cycle.correlation is None else f"{cycle.correlation:+.2f}",
        cycle.strategy,
        document["ranked"],
    )


def _next(cycles: list[CycleFacts], unlabeled: int) -> str:
    if cycles and cycles[-1].finished is None:
        return "alcli cycle    (resumes the open cycle)"
    if not cycles:
        return "alcli cycle"
    if not unlabeled:
        return "add images, because all are annotated or left out; then: alcli cycle"
    return "annotate the first images of the queue, then: alcli cycle"
