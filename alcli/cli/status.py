"""Show the pool, the last cycles, and what to do next."""

from __future__ import annotations

import math
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from alcli.cli import _options as options
from alcli.errors import DONE, ENOUGH

if TYPE_CHECKING:
    from alcli.cli._console import Console
    from alcli.curves.classes import ClassNumbers
    from alcli.curves.history import CycleFacts
    from alcli.curves.outlook import Outlook
    from alcli.workspace import Running
    from alcli.workspace.measurements import Collapse

SHOWN_CYCLES = 10
LIGHTS = {"go on": ("green", "●"), "unsure": ("yellow", "●"), "stop": ("red", "●")}


@click.command()
@click.option("--exit-code", is_flag=True, help="Exit with code 20 if the advice is to stop; for scripts.")
@click.option("--classes", is_flag=True, help="Show what is annotated of each class, and how well it is found.")
@options.shared
def command(session: options.Session, exit_code: bool, classes: bool) -> int:
    """Show the pool, the last cycles, whether another cycle is worthwhile, and the next command.

    \b
    Examples:
      alcli status
      alcli status -w W --json
      alcli status -w W --classes
      alcli status -w W --exit-code -q || mail -s "cells: enough labels?" lead@example.com
    """
    from alcli.cli.forecast import as_document
    from alcli.config import load
    from alcli.curves.classes import newest_class_numbers
    from alcli.curves.history import history
    from alcli.curves.outlook import means_of, outlook
    from alcli.items import UNLABELED

    with session.open_workspace() as workspace:
        running = workspace.running()
        counts = workspace.store.counts()
        cycles = history(workspace)
        entries = workspace.store.quarantine_entries()
        config = load(workspace.root, session.overrides)
        numbers = newest_class_numbers(workspace) if classes else []
        ahead = outlook(cycles, config.report.target, means_of(workspace, config, counts[UNLABELED]))
    document: dict[str, Any] = {
        "workspace": str(session.root),
        "pool": counts,
        "running": running and asdict(running),
        "cycles": [_document(cycle) for cycle in cycles],
        "left_out": len(entries),
        "collapse": cycles[-1].collapse and asdict(cycles[-1].collapse) if cycles else None,
        "advice": ahead.advice or None,
        "outlook": as_document(ahead),
        "next": _next(cycles, running, counts[UNLABELED]),
    }
    if classes:
        document["classes"] = [each.document() for each in numbers]
    shown = ", ".join(f"{count} {state}" for state, count in counts.items())
    session.console.result(document, f"{session.root}: {shown}")
    _show_cycles(session.console, cycles)
    if classes:
        _show_classes(session.console, numbers)
    left_out = _exclusions(counts, {entry.item_id for entry in entries})
    for line in (*_lines(cycles, running, left_out, ahead), f"Next: {document['next']}"):
        session.console.line(line)
    return ENOUGH if exit_code and ahead.advice == "stop" else DONE


def _lines(cycles: Sequence[CycleFacts], running: Running | None, left_out: str, ahead: Outlook) -> Iterator[str]:
    """What is to be said below the tables."""
    if left_out:
        yield f"{left_out}; reasons: alcli list quarantine"
    if running:
        yield _running_in_words(running)
    if cycles and cycles[-1].collapse:
        yield _warning(cycles[-1].collapse)
    if cycles:
        yield _advice(ahead)


def _exclusions(counts: Mapping[str, int], ids: Collection[str]) -> str:
    """What is left out, so that it agrees with the counts: images of the pool, and all else."""
    from alcli.items import QUARANTINED
    from alcli.system.text import quantity

    others = len(ids) - counts[QUARANTINED]
    parts = [quantity(counts[QUARANTINED], "quarantined image")] if counts[QUARANTINED] else []
    if others > 0:
        parts.append(f"{quantity(others, 'name')} without a usable image")
    return f"Left out: {', '.join(parts)}" if parts else ""


def _running_in_words(running: Running) -> str:
    from alcli.system.clock import local

    doing = f": {running.doing}" if running.doing else ""
    return f"Running since {local(running.since)} (pid {running.pid} on {running.host}, {running.command}){doing}"


def _advice(ahead: Outlook) -> str:
    if not ahead.advice:
        return f"Go on: it is too early to say more. {ahead.text}"
    color, light = LIGHTS[ahead.advice]
    return f"{click.style(light, fg=color)} {ahead.advice.capitalize()}: {ahead.text}"


def _warning(collapse: Collapse) -> str:
    """That an earlier model made the list, why, and what to do."""
    from alcli.curves.collapse import collapse_in_words, remedy_in_words

    return f"{click.style('▲', fg='yellow')} {collapse_in_words(collapse)} {remedy_in_words(collapse)}"


def _document(cycle: CycleFacts) -> dict[str, Any]:
    metrics = {name: value if math.isfinite(value) else None for name, value in cycle.metrics.items()}
    return {
        "cycle": cycle.number,
        "started": cycle.started,
        "finished": cycle.finished,
        "steps_done": list(cycle.steps_done),
        "trained_on": cycle.trained_on if "train" in cycle.steps_done else "",
        "metrics": metrics,
        "metric_method": cycle.method or ("plain" if metrics else ""),
        "metric_images": cycle.held_out if metrics else 0,
        "metric_interval": cycle.interval and list(cycle.interval),
        "strategy": cycle.strategy,
        "ranked": cycle.ranked if "score" in cycle.steps_done else "",
    }


def _show_cycles(console: Console, cycles: Sequence[CycleFacts]) -> None:
    """The newest cycles as a table, with the columns that say something."""
    header = ["cycle", "finished", "trained on", "metric", "correlation", "strategy", "ranked"]
    hidden = set() if console.verbose else {"correlation"}
    if len({cycle.strategy for cycle in cycles if cycle.strategy}) <= 1:
        hidden.add("strategy")
    lines = [dict(zip(header, _cells(cycle), strict=True)) for cycle in cycles[-SHOWN_CYCLES:]]
    shown = [name for name in header if name not in hidden]
    title = "Cycles" if len(cycles) <= SHOWN_CYCLES else f"The last {SHOWN_CYCLES} of {len(cycles)} cycles"
    console.table(title, shown, [[line[name] for name in shown] for line in lines])
    if any(cycle.headline and cycle.method != "stratified" for cycle in cycles[-SHOWN_CYCLES:]):
        console.line("plain: a mean over the held-out images, without weights for what the strategy leaves in the pool")


def _show_classes(console: Console, rows: Sequence[ClassNumbers]) -> None:
    """The classes as a table, and which of them the model never finds."""
    from alcli.curves.classes import NAMES, metric_kinds, never_found
    from alcli.curves.metrics import percent

    kinds = metric_kinds(rows)
    header = ["class", "annotated images", "objects", "asked for", *(NAMES[kind] for kind in kinds)]
    console.table(
        "Classes",
        header,
        [
            [
                row.name,
                row.images,
                row.objects,
                "" if row.asked is None else row.asked,
                *(percent(row.metrics[kind]) if kind in row.metrics else "–" for kind in kinds),
            ]
            for row in rows
        ],
    )
    if told := never_found(rows):
        console.line(told)


def _cells(cycle: CycleFacts) -> tuple[Any, ...]:
    from alcli.curves.metrics import metric_in_words
    from alcli.system.clock import local

    document = _document(cycle)
    finished = cycle.finished or "open"
    return (
        cycle.number,
        local(finished) if sys.stdout.isatty() else finished,
        document["trained_on"],
        metric_in_words(*cycle.headline) + _span(cycle) if cycle.headline else "",
        "" if cycle.correlation is None else f"{cycle.correlation:+.2f}",
        cycle.strategy,
        document["ranked"],
    )


def _span(cycle: CycleFacts) -> str:
    """The headline's interval, and whether the held-out images have no weights."""
    from alcli.curves.metrics import interval_in_words

    return interval_in_words(cycle.interval) + ("" if cycle.method == "stratified" else ", plain")


def _next(cycles: Sequence[CycleFacts], running: Running | None, unlabeled: int) -> str:
    if running:
        return "nothing until the run ends"
    if cycles and cycles[-1].finished is None:
        return "alcli cycle    (resumes the open cycle)"
    if not cycles:
        return "alcli cycle"
    if not unlabeled:
        return "add images, because all are annotated or left out; then: alcli cycle"
    return "annotate the first images of the queue, then: alcli cycle"
