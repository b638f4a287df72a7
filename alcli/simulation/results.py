"""From the points of all runs to a table and a verdict that a team can act on."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from alcli.curves.comparison import Comparison, Estimate, area, compare, estimate, holm, level, saving
from alcli.errors import AlcliError, UsageError
from alcli.simulation.plan import BASELINE, Arm
from alcli.simulation.runs import Job
from alcli.system.text import did_you_mean

TARGETS = (0.5, 0.75, 1.0)
"""Shares of what random gains from the start to the last budget."""
SURE = 0.05


@dataclass(frozen=True)
class ArmSummary:
    """One arm over all seeds, on the headline metric.

    Attributes:
        mean: of the curve's height over the budget. last: the metric at the last budget.
        gain, last_gain: paired differences to random; p values corrected for the number of arms (Holm).
        saved, cost_saved: share of random's images, and of its boxes or joints, saved on the way to each target.
        cost: units annotated at the end. others: gain over random of the other metrics' curves.
    """

    arm: str
    mean: Estimate
    last: Estimate
    gain: Comparison
    last_gain: Comparison
    saved: Sequence[Estimate]
    cost_saved: Sequence[Estimate]
    cost: Estimate
    others: Mapping[str, Comparison]


@dataclass(frozen=True)
class Results:
    """All arms, random first.

    Attributes:
        metric: the headline. unit: what the cost counts. targets: metric values that the savings speak of.
        curves: one row for each run and cycle: arm, seed, cycle, labels, cost, and the metrics.
    """

    metric: str
    unit: str
    runs: int
    targets: Sequence[float]
    arms: Sequence[ArmSummary]
    curves: pd.DataFrame

    @property
    def others(self) -> list[ArmSummary]:
        """Every arm but random."""
        return [arm for arm in self.arms if arm.arm != BASELINE]


def curves_of(jobs: Sequence[Job]) -> pd.DataFrame:
    """One row for each point; raises AlcliError when the arms of a seed did not start equal."""
    rows = [
        {
            "arm": job.arm.name,
            "seed": job.seed,
            "cycle": point.cycle,
            "labels": point.labels,
            "cost": point.cost,
            "at_random": point.at_random,
            **point.metrics,
        }
        for job in jobs
        for point in job.points()
    ]
    curves = pd.DataFrame(rows)
    _check_equal_starts(jobs)
    return curves


def summarise(curves: pd.DataFrame, arms: Sequence[Arm], unit: str, headline: str | None = None) -> Results:
    """Compare every arm with random, run by run.

    Args:
        headline: the metric that the comparison is about; the task's own by default.

    Raises:
        UsageError: the task has no such metric.
    """
    metrics = [name for name in curves.columns if name not in ("arm", "seed", "cycle", "labels", "cost", "at_random")]
    if headline is not None:
        if headline not in metrics:
            raise UsageError(f"There is no metric {headline!r} here.", do=did_you_mean(headline, metrics))
        metrics.sort(key=lambda name: name != headline)
    tables = {arm.name: _Table(curves[curves["arm"] == arm.name], metrics) for arm in arms}
    base = tables[BASELINE]
    curve = base.values[metrics[0]].mean(axis=0)
    targets = [level(curve, gained) for gained in TARGETS]
    found = [_summary(name, table, base, metrics) for name, table in tables.items()]
    others = [row for row in found if row.arm != BASELINE]
    gains = dict(zip((row.arm for row in others), holm([row.gain.p for row in others]), strict=True))
    lasts = dict(zip((row.arm for row in others), holm([row.last_gain.p for row in others]), strict=True))
    corrected = [_with_p(row, gains.get(row.arm, math.nan), lasts.get(row.arm, math.nan)) for row in found]
    return Results(metrics[0], unit, base.runs, targets, corrected, curves)


def verdict(results: Results) -> str:
    """What a team should believe after this simulation, in plain words."""
    if not results.others:
        return "Only random has run: name what to compare with it, as --strategies auto,margin."
    if results.runs < 2:
        return "One run per strategy shows nothing: chance alone moves curves. Use --seeds 5 or more."
    better = [row for row in results.others if row.gain.p < SURE and row.gain.difference.mean > 0]
    worse = [row for row in results.others if row.gain.p < SURE and row.gain.difference.mean < 0]
    better.sort(key=lambda row: -row.gain.difference.mean)
    unsure = [row.arm for row in results.others if row not in better and row not in worse]
    if not better and not worse:
        return f"No strategy differs from random here ({results.runs} paired runs, 5 % level, Holm-corrected)."
    sentences = [f"{better[0].arm} {_saves(better[0])}: {_points(better[0].gain)}."] if better else []
    if not better:
        sentences.append("No strategy beats random here.")
    if better[1:]:
        ahead = ", ".join(f"{row.arm} ({_short(row.gain)})" for row in better[1:])
        sentences.append(f"Also better than random: {ahead}.")
    if worse:
        sentences.append("Worse than random: " + ", ".join(f"{row.arm} ({_short(row.gain)})" for row in worse) + ".")
    if unsure:
        sentences.append(f"No difference to random could be shown for {', '.join(unsure)}.")
    return " ".join(sentences)


class _Table:
    """The runs of one arm as matrices, (seeds, cycles), seeds and cycles ascending."""

    def __init__(self, rows: pd.DataFrame, metrics: Sequence[str]) -> None:
        def matrix(column: str) -> np.ndarray:
            return rows.pivot(index="seed", columns="cycle", values=column).to_numpy(dtype=np.float64)

        self.labels, self.cost = matrix("labels"), matrix("cost")
        self.values = {name: matrix(name) for name in metrics}
        self.runs = len(self.labels)

    def areas(self, metric: str) -> np.ndarray:
        return area(self.labels[0].tolist(), self.values[metric])


def _summary(name: str, table: _Table, base: _Table, metrics: Sequence[str]) -> ArmSummary:
    head = metrics[0]
    values, base_values = table.values[head], base.values[head]
    return ArmSummary(
        name,
        estimate(table.areas(head)),
        estimate(values[:, -1]),
        compare(table.areas(head), base.areas(head)),
        compare(values[:, -1], base_values[:, -1]),
        [saving(table.labels, values, base.labels, base_values, gained) for gained in TARGETS],
        [saving(table.cost, values, base.cost, base_values, gained) for gained in TARGETS],
        estimate(table.cost[:, -1]),
        {metric: compare(table.areas(metric), base.areas(metric)) for metric in metrics[1:]},
    )


def _with_p(row: ArmSummary, gain: float, last: float) -> ArmSummary:
    return replace(row, gain=replace(row.gain, p=gain), last_gain=replace(row.last_gain, p=last))


def _check_equal_starts(jobs: Sequence[Job]) -> None:
    """Arms with the same training must begin with the same model, or no difference later means anything."""
    first: dict[tuple[int, bool], tuple[str, Mapping[str, float]]] = {}
    for job in jobs:
        metrics = job.points()[0].metrics
        name, expected = first.setdefault((job.seed, job.arm.plain), (job.arm.name, metrics))
        if dict(metrics) != dict(expected):
            raise AlcliError(
                f"Seed {job.seed}: {job.arm.name} starts with {dict(metrics)}, {name} with {dict(expected)}; arms must "
                "start equal.",
                kept="The runs are kept.",
                do="Did they run on different machines, or with another version of a library? Move the simulation "
                "away and run all of it again.",
            )


def _saves(row: ArmSummary) -> str:
    share = row.saved[-1].mean
    if math.isnan(share) or share <= 0:
        return "is ahead of random over the budget but saves no labels on the way to random's last result"
    return f"saves {100 * share:.0f} % of the labels that random needs for its last result"


def _points(gain: Comparison) -> str:
    found = gain.difference
    return (
        f"{100 * found.mean:+.1f} points on average over the budget "
        f"(95 % interval {100 * found.low:+.1f} to {100 * found.high:+.1f}, p = {_p(gain.p)})"
    )


def _short(gain: Comparison) -> str:
    return f"{100 * gain.difference.mean:+.1f} points, p = {_p(gain.p)}"


def _p(p: float) -> str:
    return f"{p:.3f}" if p >= 0.001 else f"{p:.0e}"


def markdown(results: Results) -> str:
    """The table for people: one row an arm, percentages and points with their 95 % intervals."""
    shown = ", ".join(f"{100 * target:.1f}" for target in results.targets)
    saved = f"share of random's images (and of its {results.unit}) that the strategy did not need on its way to {shown}"
    if results.targets[-1] <= results.targets[0]:
        saved = "says nothing here, because more labels did not help random"
    lines = [
        f"Metric: {results.metric} in percent; {results.runs} paired runs. ± and […]: 95 % intervals. p: paired t-test "
        f"against random on the mean over the budget, corrected for {len(results.others)} comparisons (Holm).",
        f"Saved: {saved}.",
        "",
        f"| strategy | mean over the budget | last budget | gain over random | p | at the last budget | images saved | "
        f"{results.unit} saved | {results.unit} |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [_line(row) for row in results.arms]
    lines += ["", *_at_each_budget(results)]
    others = sorted({name for row in results.arms for name in row.others})
    if others and results.others:
        lines += ["", "Gain over random on the other metrics (mean over the budget):", ""]
        lines += [f"| strategy | {' | '.join(others)} |", "|---|" + "---|" * len(others)]
        for row in results.others:
            lines.append(f"| {row.arm} | {' | '.join(_difference(row.others[name].difference) for name in others)} |")
    return "\n".join(lines) + "\n"


def _at_each_budget(results: Results) -> list[str]:
    curves = results.curves
    labels = curves[curves["arm"] == BASELINE].groupby("cycle")["labels"].first().tolist()
    lines = [f"| {results.metric} at so many images | {' | '.join(map(str, labels))} |", "|---|" + "---|" * len(labels)]
    for row in results.arms:
        rows = curves[curves["arm"] == row.arm]
        found = [estimate(part[results.metric].to_numpy()) for _, part in rows.groupby("cycle")]
        lines.append(f"| {row.arm} | {' | '.join(map(_plus_minus, found))} |")
    return lines


def _line(row: ArmSummary) -> str:
    base = row.arm == BASELINE
    cells = [
        row.arm,
        _plus_minus(row.mean),
        _plus_minus(row.last),
        "" if base else _difference(row.gain.difference),
        "" if base or math.isnan(row.gain.p) else _p(row.gain.p),
        "" if base else _difference(row.last_gain.difference),
        "" if base else " / ".join(_share(part.mean) for part in row.saved),
        "" if base else " / ".join(_share(part.mean) for part in row.cost_saved),
        f"{row.cost.mean:.0f}",
    ]
    return "| " + " | ".join(cells) + " |"


def _plus_minus(found: Estimate) -> str:
    reach = "" if math.isnan(found.low) else f" ± {100 * (found.high - found.mean):.1f}"
    return f"{100 * found.mean:.1f}{reach}"


def _difference(found: Estimate) -> str:
    interval = "" if math.isnan(found.low) else f" [{_signed(found.low)}, {_signed(found.high)}]"
    return f"{_signed(found.mean)}{interval}"


def _signed(value: float) -> str:
    """In points; zero has no sign."""
    return f"{100 * value:+.1f}".replace("-0.0", "+0.0")


def _share(share: float) -> str:
    if math.isnan(share):
        return "–"
    return "never reached" if math.isinf(share) else f"{round(100 * share)} %"
