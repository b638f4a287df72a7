"""The results of all runs: a table and a verdict."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from alcli.curves.comparison import Comparison, Estimate, area, compare, estimate, holm, level, saving
from alcli.curves.metrics import metric_name
from alcli.errors import AlcliError, UsageError
from alcli.simulation.plan import BASELINE, Arm
from alcli.simulation.runs import Job
from alcli.system.text import did_you_mean, quantity

TARGETS = (0.5, 0.75, 1.0)
"""Shares of random's gain from the start to the last budget."""
SURE = 0.05
FEW_RUNS = 5
LARGE_SHARE = 0.4
"""Share of the pool that is annotated at the end, above which a choice can hardly matter."""


@dataclass(frozen=True)
class ArmSummary:
    """One arm over all seeds, on the headline metric.

    Attributes:
        mean: mean height of the curve over the budget. last: the metric at the last budget.
        gain, last_gain: paired differences to random; p values corrected for the number of arms (Holm).
        saved, cost_saved: share of random's images, and of its boxes or joints, saved in reaching each target.
        cost: units annotated at the end. others: gains over random on the other metrics.
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
        metric: the headline. unit: of the cost. targets: metric values that the savings refer to.
        curves: one row for each run and cycle: arm, seed, cycle, labels, cost, and the metrics.
        pool: images that could be asked for; 0: unknown.
    """

    metric: str
    unit: str
    runs: int
    targets: Sequence[float]
    arms: Sequence[ArmSummary]
    curves: pd.DataFrame
    pool: int = 0

    @property
    def others(self) -> list[ArmSummary]:
        """Every arm but random."""
        return [arm for arm in self.arms if arm.arm != BASELINE]


def curves_of(jobs: Sequence[Job]) -> pd.DataFrame:
    """A table with one row per point; raises AlcliError if the arms of a seed did not start with equal models."""
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


def summarize(
    curves: pd.DataFrame, arms: Sequence[Arm], unit: str, headline: str | None = None, pool: int = 0
) -> Results:
    """Compare every arm with random, run by run.

    Args:
        pool: images that could be asked for, for the verdict.
        headline: the metric to compare; default: the task's main metric.

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
    summaries = [_summary(name, table, base, metrics) for name, table in tables.items()]
    others = [arm for arm in summaries if arm.arm != BASELINE]
    gains = dict(zip((arm.arm for arm in others), holm([arm.gain.p for arm in others]), strict=True))
    lasts = dict(zip((arm.arm for arm in others), holm([arm.last_gain.p for arm in others]), strict=True))
    corrected = [_with_p(arm, gains.get(arm.arm, math.nan), lasts.get(arm.arm, math.nan)) for arm in summaries]
    return Results(metrics[0], unit, base.runs, targets, corrected, curves, pool)


def verdict(results: Results) -> str:
    """The conclusion from a simulation, in words."""
    if not results.others:
        return "Only random has run: name what to compare with it, as --strategies auto,margin."
    if results.runs < 2:
        return "One run per strategy shows nothing: chance alone moves curves. Use --seeds 5 or more."
    better = [arm for arm in results.others if arm.gain.p < SURE and arm.gain.difference.mean > 0]
    worse = [arm for arm in results.others if arm.gain.p < SURE and arm.gain.difference.mean < 0]
    better.sort(key=lambda arm: -arm.gain.difference.mean)
    unsure = [arm.arm for arm in results.others if arm not in better and arm not in worse]
    if not better and not worse:
        sentence = f"No strategy differs from random here ({results.runs} paired runs, 5 % level, Holm-corrected)."
        return " ".join([sentence, *_limits(results)])
    sentences = [f"{_saves(better[0])}: {_points(better[0].gain)}."] if better else []
    if not better:
        sentences.append("No strategy beats random here.")
    if better[1:]:
        ahead = ", ".join(f"{arm.arm} ({_short(arm.gain)})" for arm in better[1:])
        sentences.append(f"Also better than random: {ahead}.")
    if worse:
        sentences.append("Worse than random: " + ", ".join(f"{arm.arm} ({_short(arm.gain)})" for arm in worse) + ".")
    if unsure:
        sentences.append(f"No difference to random could be shown for {', '.join(unsure)}.")
    return " ".join([*sentences, *_limits(results)])


def _limits(results: Results) -> list[str]:
    """How far the conclusion holds: few runs, and a pool that is annotated nearly whole."""
    sentences = []
    if results.runs < FEW_RUNS:
        sentences.append(f"{results.runs} runs are few: use --seeds {FEW_RUNS} or more.")
    if results.pool and (share := results.curves["labels"].max() / results.pool) > LARGE_SHARE:
        sentences.append(
            f"At the end {100 * share:.0f} % of the pool is annotated, whatever is chosen: that leaves little to gain."
        )
    return sentences


class _Table:
    """The runs of one arm as matrices (seeds, cycles), both ascending."""

    def __init__(self, points: pd.DataFrame, metrics: Sequence[str]) -> None:
        def matrix(column: str) -> np.ndarray:
            return points.pivot(index="seed", columns="cycle", values=column).to_numpy(dtype=np.float64)

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
        {
            metric: compare(table.areas(metric), base.areas(metric))
            for metric in metrics[1:]
            if "/" not in metric  # those of single classes are in curves.csv
        },
    )


def _with_p(arm: ArmSummary, gain: float, last: float) -> ArmSummary:
    return replace(arm, gain=replace(arm.gain, p=gain), last_gain=replace(arm.last_gain, p=last))


def _check_equal_starts(jobs: Sequence[Job]) -> None:
    """Raises AlcliError unless arms with the same training start with the same model."""
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


def _saves(arm: ArmSummary) -> str:
    share = arm.saved[-1].mean
    if math.isnan(share) or share <= 0:
        return f"{arm.arm} is ahead of random over the budget, but reaches random's last result no earlier"
    return f"With {arm.arm}, {100 * share:.0f} % fewer labels reach what random order reached at the end"


def _points(gain: Comparison) -> str:
    difference = gain.difference
    return (
        f"{100 * difference.mean:+.1f} points on average over the budget "
        f"(95 % interval {100 * difference.low:+.1f} to {100 * difference.high:+.1f}, p = {_p(gain.p)})"
    )


def _short(gain: Comparison) -> str:
    return f"{100 * gain.difference.mean:+.1f} points, p = {_p(gain.p)}"


def _p(p: float) -> str:
    return f"{p:.3f}" if p >= 0.001 else f"{p:.0e}"


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
    others = sorted({name for arm in results.arms for name in arm.others})
    if others and results.others:
        lines += ["", "Gain over random on the other metrics (mean over the budget):", ""]
        lines += [f"| strategy | {' | '.join(map(metric_name, others))} |", "|---|" + "---|" * len(others)]
        for arm in results.others:
            lines.append(f"| {arm.arm} | {' | '.join(_difference(arm.others[name].difference) for name in others)} |")
    return "\n".join(lines) + "\n"


def _at_each_budget(results: Results) -> list[str]:
    curves = results.curves
    labels = curves[curves["arm"] == BASELINE].groupby("cycle")["labels"].first().tolist()
    heading = f"{metric_name(results.metric)} with this many images"
    lines = [f"| {heading} | {' | '.join(map(str, labels))} |", "|---|" + "---|" * len(labels)]
    for arm in results.arms:
        points = curves[curves["arm"] == arm.arm]
        estimates = [estimate(cycle[results.metric].to_numpy()) for _, cycle in points.groupby("cycle")]
        lines.append(f"| {arm.arm} | {' | '.join(map(_plus_minus, estimates))} |")
    return lines


def _line(arm: ArmSummary) -> str:
    base = arm.arm == BASELINE
    cells = [
        arm.arm,
        _plus_minus(arm.mean),
        _plus_minus(arm.last),
        "" if base else _difference(arm.gain.difference),
        "" if base or math.isnan(arm.gain.p) else _p(arm.gain.p),
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
