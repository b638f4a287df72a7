"""Statistics for comparing paired learning curves: intervals, tests, savings."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import integrate, stats

from alcli.curves.estimate import Estimate

if TYPE_CHECKING:
    from alcli.curves.history import CycleFacts

CONFIDENCE = 0.95
RESAMPLES = 1000


@dataclass(frozen=True)
class Comparison:
    """A paired difference to the baseline.

    Attributes:
        p: of the two-sided paired t-test; NaN for fewer than two runs.
    """

    difference: Estimate
    p: float


def area(labels: Sequence[float], values: np.ndarray) -> np.ndarray:
    """Mean height of each curve between its first and last number of labels, by the trapezoidal rule.

    Args:
        labels: (k,) ascending. values: (runs, k).

    Returns:
        (runs,) in the metric's unit; for a single point its height.
    """
    if len(labels) == 1:
        return values[:, 0]
    return integrate.trapezoid(values, labels, axis=1) / (labels[-1] - labels[0])


def estimate(values: np.ndarray, confidence: float = CONFIDENCE) -> Estimate:
    """Mean and Student's t interval of (runs,) values."""
    mean = float(np.mean(values))
    if len(values) < 2:
        return Estimate(mean, math.nan, math.nan)
    half_width = float(stats.t.ppf((1 + confidence) / 2, len(values) - 1) * stats.sem(values))
    return Estimate(mean, mean - half_width, mean + half_width)


def share_interval(value: float, count: int, confidence: float = CONFIDENCE) -> Estimate:
    """A share in [0, 1] of ``count`` trials, with its Jeffreys interval (Brown, Cai & DasGupta, Stat. Science 2001).

    For the mean of other numbers in [0, 1] the interval is conservative: none has a larger variance.
    """
    if count < 1 or not 0 <= value <= 1:
        return Estimate(value, math.nan, math.nan)
    hits, misses = value * count + 0.5, (1 - value) * count + 0.5
    low, high = stats.beta.ppf([(1 - confidence) / 2, (1 + confidence) / 2], hits, misses)
    return Estimate(value, min(float(low), value), max(float(high), value))


def headline_interval(cycle: CycleFacts) -> Estimate:
    """A cycle's main metric with its 90 % interval: as measured with the pool, otherwise that of a plain mean."""
    name_and_value = cycle.headline
    if name_and_value is None:
        return Estimate(math.nan, math.nan, math.nan)
    if cycle.interval:
        return Estimate(name_and_value[1], *cycle.interval)
    return share_interval(name_and_value[1], cycle.held_out, 0.9)


def compare(values: np.ndarray, baseline: np.ndarray) -> Comparison:
    """Compare (runs,) values with the baseline's, run i with run i."""
    differences = np.asarray(values) - np.asarray(baseline)
    difference = estimate(differences)
    if len(differences) < 2:
        return Comparison(difference, math.nan)
    if np.ptp(differences) <= 1e-9 * np.abs(differences).max():
        # All differences are equal, which happens by chance with few runs on a small test set, and the t statistic is
        # 0/0 or infinite. Use the sign test: the probability that all signs agree by chance.
        return Comparison(difference, 1.0 if difference.mean == 0 else 2 * 0.5 ** len(differences))
    return Comparison(difference, float(stats.ttest_1samp(differences, 0.0).pvalue))


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct p values for multiple testing (Holm, Scandinavian Journal of Statistics 1979); NaN stays NaN."""
    ordered = sorted((p, index) for index, p in enumerate(p_values) if not math.isnan(p))
    corrected = [math.nan] * len(p_values)
    largest = 0.0
    for rank, (p, index) in enumerate(ordered):
        largest = max(largest, min(p * (len(ordered) - rank), 1.0))
        corrected[index] = largest
    return corrected


def effort_to_reach(efforts: Sequence[float], curve: np.ndarray, target: float) -> float:
    """The effort at which a curve first reaches the target, by linear interpolation; infinite if it never does."""
    above = np.flatnonzero(curve >= target)
    if not len(above):
        return math.inf
    first = int(above[0])
    if first == 0:
        return float(efforts[0])
    share = (target - curve[first - 1]) / (curve[first] - curve[first - 1])
    return float(efforts[first - 1] + share * (efforts[first] - efforts[first - 1]))


def level(curve: np.ndarray, gained: float) -> float:
    """The height at which a curve has made a share of its total gain; exactly its end for 1."""
    return float(curve[-1]) if gained == 1 else float(curve[0] + gained * (curve[-1] - curve[0]))


def saving(
    efforts: np.ndarray, curves: np.ndarray, base_efforts: np.ndarray, base_curves: np.ndarray, gained: float
) -> Estimate:
    """The share of the baseline's effort that is saved in reaching a target; negative if more effort is needed.

    Mean curves are compared; the interval is a percentile bootstrap over paired runs. An arm that never reaches the
    target saves −∞.

    Args:
        efforts, base_efforts: (runs, k) labels, or boxes, at each point. curves, base_curves: (runs, k) metrics.
        gained: the target, as a share of the baseline's gain. It is recomputed in each resample: half of the resamples
            end below the overall mean, and a baseline that cannot reach its own target would make any arm look perfect.
    """

    def share(runs: np.ndarray) -> float:
        base_curve = base_curves[runs].mean(axis=0)
        target = level(base_curve, gained)
        effort = effort_to_reach(efforts[runs].mean(axis=0), curves[runs].mean(axis=0), target)
        base_effort = effort_to_reach(base_efforts[runs].mean(axis=0), base_curve, target)
        if base_effort == 0:
            # Images without objects cost nothing, so nothing can be saved.
            return -math.inf if effort else 0.0
        return 1 - effort / base_effort

    count = len(curves)
    mean = share(np.arange(count))
    if count < 2:
        return Estimate(mean, math.nan, math.nan)
    rng = np.random.default_rng(0)
    shares = np.sort([share(rng.integers(0, count, count)) for _ in range(RESAMPLES)])
    # Quantiles without interpolation, because shares can be −∞.
    low, high = (shares[round(q * (len(shares) - 1))] for q in ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2))
    return Estimate(mean, float(low), float(high))
