"""The results of all runs: a table and a verdict."""

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
    corrected = [_withp_in_words(arm, gains.get(arm.arm, math.nan), lasts.get(arm.arm, math.nan)) for arm in summaries]
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
        sentence = f"No strategy differs from random order here, as far as {results.runs} runs can tell."
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


def _withp_in_words(arm: ArmSummary, gain: float, last: float) -> ArmSummary:
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
        f"(95 % interval {100 * difference.low:+.1f} to {100 * difference.high:+.1f}, p = {p_in_words(gain.p)})"
    )


def _short(gain: Comparison) -> str:
    return f"{100 * gain.difference.mean:+.1f} points, p = {p_in_words(gain.p)}"


def p_in_words(p: float) -> str:
    """A p value with three digits, or its order of magnitude."""
    return f"{p:.3f}" if p >= 0.001 else f"{p:.0e}"
