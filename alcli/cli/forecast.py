"""Estimate how many more labels a target takes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import click

from alcli.cli import _options as options

if TYPE_CHECKING:
    from alcli.curves.outlook import Outlook
    from alcli.curves.pace import Pace


@click.command()
@click.option("--target", type=options.Share(), help="Metric value to reach: 75% or 0.75.  [report.target]")
@options.budget
@options.shared
def command(session: options.Session, target: float | None) -> int:
    """Estimate how many more labels, cycles and hours a target takes, from the metrics of the cycles so far.

    Two cycles are enough for a forecast, but the intervals are useful only from about four. Hours are computed from
    cost.seconds_per_item and cost.seconds_per_object, else from the working times that the platform has recorded for
    at least 10 images, else from a usual time per box or outline. Without a target, the forecast is about the next
    cycle only.

    \b
    Examples:
      alcli forecast --target 75%
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
    with session.open_workspace() as workspace:
        config = load(workspace.root, session.overrides)
        cycles = history(workspace)
        means = means_of(workspace, config, workspace.store.counts()[UNLABELED])
    for cycle in cycles:
        if cycle.headline and not math.isfinite(cycle.headline[1]):
            session.console.say(f"Cycle {cycle.number} is ignored: its metric is not a number.")
    outlook = forecast_outlook(cycles, target if target is not None else config.report.target, means)
    lines = [outlook.text, *([outlook.pace.in_words] if outlook.pace else [])]
    session.console.result(as_document(outlook), "\n".join(lines))
    return 0


def as_document(outlook: Outlook) -> dict[str, Any]:
    """The outlook for ``--json``; infinite and unknown numbers become null."""
    needed, gain = outlook.needed, outlook.next_gain
    document: dict[str, Any] = {
        "metric": outlook.metric or None,
        "value": _number(outlook.value),
        "labels": outlook.labels,
        "points": outlook.points,
        "next_cycle": gain and {"labels": outlook.budget, "gain": gain.mean, "low": gain.low, "high": gain.high},
        "agreement": _number(outlook.agreement),
        "seconds_per_label": _number(outlook.seconds_per_label),
        "pace": _pace(outlook.pace),
        "advice": outlook.advice or None,
        "text": outlook.text,
    }
    if outlook.target is not None and needed is not None:
        spans = {"median": needed.median, "low": needed.low, "high": needed.high}
        document["target"] = {
            "value": outlook.target,
            "reached": outlook.is_reached,
            "reachable": outlook.reachable,
            "share_of_curves": needed.reachable,
            "labels": {name: _number(value) for name, value in spans.items()},
            "more_labels": {name: _number(outlook.more(value)) for name, value in spans.items()},
            "cycles": {name: _number(outlook.cycles(value)) for name, value in spans.items()},
            "hours": {name: _number(outlook.hours(value)) for name, value in spans.items()},
        }
    return document


def _pace(pace: Pace | None) -> dict[str, Any] | None:
    if pace is None:
        return None
    return {
        "source": pace.source,
        "seconds_per_image": pace.per_image,
        "seconds_per_object": pace.per_object,
        "images": pace.images,
        "idle_images": pace.idle,
        "reference": pace.usual.source if pace.usual else None,
    }


def _number(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
