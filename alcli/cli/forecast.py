"""``alcli forecast``."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import click

from alcli.cli import _options as options

if TYPE_CHECKING:
    from alcli.curves.outlook import Outlook


@click.command(short_help="How many more labels does a target take?")
@click.option("--target", type=float, help="The metric to reach, between 0 and 1: 0.75.  [report.target]")
@options.budget
@options.shared
def command(session: options.Session, target: float | None) -> int:
    """Say how many more labels, cycles and hours a target takes, from the metrics of the cycles so far.

    With two cycles the intervals are wide, with four or more they mean something. Hours come from
    cost.seconds_per_item and cost.seconds_per_object, or from the moments at which people made each object, where the
    platform tells them. Without a target it says what the next cycle is expected to bring.

    \b
    Examples:
      alcli forecast --target 0.75
      alcli forecast --target 0.9 --set cost.seconds_per_item=10 --set cost.seconds_per_object=4
      alcli forecast --json
    """
    from alcli.config import load
    from alcli.curves.forecast import check_target
    from alcli.curves.history import history
    from alcli.curves.outlook import forecast_outlook, means_of
    from alcli.items import UNLABELED

    if target is not None:
        check_target(target)
    with session.reading() as workspace:
        config = load(workspace.root, session.overrides)
        cycles = history(workspace)
        means = means_of(workspace, config, workspace.store.counts()[UNLABELED])
    for row in cycles:
        if row.headline and not math.isfinite(row.headline[1]):
            session.console.say(f"Cycle {row.number} has no number for its metric: left out.")
    found = forecast_outlook(cycles, target if target is not None else config.report.target, means)
    session.console.result(as_document(found), found.text)
    return 0


def as_document(found: Outlook) -> dict[str, Any]:
    """The outlook for ``--json``; what is infinite or unknown is null."""
    needed, gain = found.needed, found.next_gain
    document: dict[str, Any] = {
        "metric": found.metric or None,
        "value": _number(found.value),
        "labels": found.labels,
        "points": found.points,
        "next_cycle": gain and {"labels": found.budget, "gain": gain.mean, "low": gain.low, "high": gain.high},
        "agreement": _number(found.agreement),
        "seconds_per_label": _number(found.seconds_per_label),
        "advice": found.advice or None,
        "text": found.text,
    }
    if found.target is not None and needed is not None:
        spans = {"median": needed.median, "low": needed.low, "high": needed.high}
        document["target"] = {
            "value": found.target,
            "reached": found.is_reached,
            "reachable": found.reachable,
            "share_of_curves": needed.reachable,
            "labels": {name: _number(value) for name, value in spans.items()},
            "more_labels": {name: _number(found.more(value)) for name, value in spans.items()},
            "cycles": {name: _number(found.cycles(value)) for name, value in spans.items()},
            "hours": {name: _number(found.hours(value)) for name, value in spans.items()},
        }
    return document


def _number(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
