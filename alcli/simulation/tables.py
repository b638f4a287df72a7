"""The results as tables: for a terminal, a page, and as Markdown."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from alcli.curves.comparison import Estimate, estimate
from alcli.curves.metrics import metric_name
from alcli.simulation.plan import BASELINE
from alcli.simulation.results import SURE, TARGETS, ArmSummary, Results, p_in_words
from alcli.system.text import quantity


@dataclass(frozen=True)
class Table:
    """A table of texts; every row is as long as the header."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]


def tables(results: Results) -> list[Table]:
    """All tables: gain over random, labels saved, the metric at each budget, other metrics."""
    name = metric_name(results.metric)
    gains = Table(
        f"{name} in percent, mean over the budget and at its end",
        ("strategy", "gain over random", "p", "mean", "at the end"),
        [_gain_row(arm) for arm in results.arms],
    )
    every = [gains, _saved_table(results), _budget_table(results)]
    if others := _others_table(results):
        every.append(others)
    return [table for table in every if table.rows]


def notes(results: Results) -> list[str]:
    """What the numbers mean."""
    return [
        f"{results.runs} paired runs. ± and […]: 95 % intervals. p: paired t-test against random, corrected for "
        f"{quantity(len(results.others), 'comparison')} (Holm); below {SURE:g} counts as a difference."
    ]


def _gain_row(arm: ArmSummary) -> list[str]:
    base = arm.arm == BASELINE
    return [
        arm.arm,
        "" if base else _difference(arm.gain.difference),
        "" if base or math.isnan(arm.gain.p) else p_in_words(arm.gain.p),
        _plus_minus(arm.mean),
        _plus_minus(arm.last),
    ]


def _saved_table(results: Results) -> Table:
    """The share of random's labels that each strategy did not need on its way to three parts of random's gain."""
    if results.targets[-1] <= results.targets[0]:
        return Table("", (), ())
    goals = [f"to {100 * target:.1f} %" for target in results.targets]
    images, others = (
        [[_share(part.mean) for part in getattr(arm, saved)] for arm in results.others]
        for saved in ("saved", "cost_saved")
    )
    # With one label per image, the other unit repeats the images.
    units = [("images", images), (results.unit, others)] if images != others else [("images", images)]
    rows = [
        [f"{arm.arm}, {unit}", *shares]
        for unit, saved in units
        for arm, shares in zip(results.others, saved, strict=True)
    ]
    parts = ", ".join(f"{100 * part:.0f}" for part in TARGETS)
    return Table(
        f"Saved on the way to {parts} % of what random gained (minus: more were needed)", ("strategy", *goals), rows
    )


def _budget_table(results: Results) -> Table:
    curves = results.curves
    labels = curves[curves["arm"] == BASELINE].groupby("cycle")["labels"].first().tolist()
    rows = []
    for arm in results.arms:
        points = curves[curves["arm"] == arm.arm]
        estimates = [estimate(cycle[results.metric].to_numpy()) for _, cycle in points.groupby("cycle")]
        rows.append([arm.arm, *map(_plus_minus, estimates)])
    return Table(
        f"{metric_name(results.metric)} in percent with this many images", ("strategy", *map(str, labels)), rows
    )


def _others_table(results: Results) -> Table | None:
    others = sorted({name for arm in results.arms for name in arm.others})
    if not others or not results.others:
        return None
    rows = [[arm.arm, *(_difference(arm.others[name].difference) for name in others)] for arm in results.others]
    header = ("strategy", *map(metric_name, others))
    return Table("Gain over random on the other metrics, mean over the budget", header, rows)


def markdown(results: Results) -> str:
    """The table in Markdown: one row per arm, percentages and points with 95 % intervals."""
    shown = ", ".join(f"{100 * target:.1f}" for target in results.targets)
    saved = f"share of random's images (and of its {results.unit}) that the strategy did not need on its way to {shown}"
    if results.targets[-1] <= results.targets[0]:
        saved = "says nothing here, because more labels did not help random"
    lines = [
        f"Metric: {metric_name(results.metric)} in percent; {results.runs} paired runs. ± and […]: 95 % intervals. "
        "p: paired t-test against random on the mean over the budget, "
        f"corrected for {quantity(len(results.others), 'comparison')} (Holm).",
        f"Saved: {saved}.",
        "",
        f"| strategy | mean over the budget | last budget | gain over random | p | at the last budget | images saved | "
        f"{results.unit} saved | {results.unit} |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [_line(arm) for arm in results.arms]
    lines += ["", *_at_each_budget(results)]
    if others := _others_table(results):
        lines += ["", "Gain over random on the other metrics (mean over the budget):", ""]
        lines += [f"| {' | '.join(others.header)} |", "|---|" + "---|" * (len(others.header) - 1)]
        lines += [f"| {' | '.join(row)} |" for row in others.rows]
    return "\n".join(lines) + "\n"


def _at_each_budget(results: Results) -> list[str]:
    table = _budget_table(results)
    lines = [f"| {metric_name(results.metric)} with this many images | {' | '.join(table.header[1:])} |"]
    lines.append("|---|" + "---|" * (len(table.header) - 1))
    return [*lines, *(f"| {' | '.join(row)} |" for row in table.rows)]


def _line(arm: ArmSummary) -> str:
    base = arm.arm == BASELINE
    cells = [
        *_gain_row(arm),
        "" if base else _difference(arm.last_gain.difference),
        "" if base else " / ".join(_share(part.mean) for part in arm.saved),
        "" if base else " / ".join(_share(part.mean) for part in arm.cost_saved),
        f"{arm.cost.mean:.0f}",
    ]
    return "| " + " | ".join(cells) + " |"


def _plus_minus(value: Estimate) -> str:
    half_width = "" if math.isnan(value.low) else f" ± {100 * (value.high - value.mean):.1f}"
    return f"{100 * value.mean:.1f}{half_width}"


def _difference(value: Estimate) -> str:
    interval = "" if math.isnan(value.low) else f" [{_with_sign(value.low)}, {_with_sign(value.high)}]"
    return f"{_with_sign(value.mean)}{interval}"


def _with_sign(value: float) -> str:
    """In points, with a plus or minus sign; zero has a plus."""
    return f"{100 * value:+.1f}".replace("-0.0", "+0.0")


def _share(share: float) -> str:
    if math.isnan(share):
        return "–"
    return "never reached" if math.isinf(share) else f"{round(100 * share)} %"
