"""The statistics of paired learning curves: numbers in, numbers out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import integrate, stats

from alcli.curves.estimate import Estimate

CONFIDENCE = 0.95
RESAMPLES = 1000


@dataclass(frozen=True)
class Comparison:
    """A paired difference to the baseline.

    Attributes:
        p: of the two-sided paired t-test; not a number where nothing can be tested.
    """

    difference: Estimate
    p: float


def area(labels: Sequence[float], values: np.ndarray) -> np.ndarray:
    """The mean height of each curve between its first and last number of labels, by the trapezoidal rule.

    Args:
        labels: (k,) ascending. values: (runs, k).

    Returns:
        (runs,) in the metric's own unit; with a single point its height.
    """
    if len(labels) == 1:
        return values[:, 0]
    return integrate.trapezoid(values, labels, axis=1) / (labels[-1] - labels[0])


def estimate(values: np.ndarray, confidence: float = CONFIDENCE) -> Estimate:
    """Mean and Student interval of (runs,) values."""
    mean = float(np.mean(values))
    if len(values) < 2:
        return Estimate(mean, math.nan, math.nan)
    reach = float(stats.t.ppf((1 + confidence) / 2, len(values) - 1) * stats.sem(values))
    return Estimate(mean, mean - reach, mean + reach)


def share_interval(value: float, count: int, confidence: float = CONFIDENCE) -> Estimate:
    """A share in [0, 1] of ``count`` trials with its Jeffreys interval (Brown, Cai & DasGupta, Stat. Science 2001).

    For a mean of other numbers in [0, 1] it is too wide rather than too narrow: none of them varies more.
    """
    if count < 1 or not 0 <= value <= 1:
        return Estimate(value, math.nan, math.nan)
    hits, misses = value * count + 0.5, (1 - value) * count + 0.5
    low, high = stats.beta.ppf([(1 - confidence) / 2, (1 + confidence) / 2], hits, misses)
    return Estimate(value, min(float(low), value), max(float(high), value))


def compare(values: np.ndarray, baseline: np.ndarray) -> Comparison:
    """The paired difference of (runs,) values to the baseline's, run i with run i."""
    differences = np.asarray(values) - np.asarray(baseline)
    found = estimate(differences)
    if len(differences) < 2:
        return Comparison(found, math.nan)
    if np.ptp(differences) <= 1e-9 * np.abs(differences).max():
        # The t statistic is 0/0, or infinite, and few runs on a small test set agree by accident: what is left is how
        # likely coins are to agree all along.
        return Comparison(found, 1.0 if found.mean == 0 else 2 * 0.5 ** len(differences))
    return Comparison(found, float(stats.ttest_1samp(differences, 0.0).pvalue))


def holm(p_values: Sequence[float]) -> list[float]:
    """The p values corrected for their number (Holm, Scandinavian Journal of Statistics 1979); NaN stays NaN."""
    known = sorted((p, place) for place, p in enumerate(p_values) if not math.isnan(p))
    corrected = [math.nan] * len(p_values)
    largest = 0.0
    for position, (p, place) in enumerate(known):
        largest = max(largest, min(p * (len(known) - position), 1.0))
        corrected[place] = largest
    return corrected


def first_reached(efforts: Sequence[float], curve: np.ndarray, target: float) -> float:
    """The effort at which a curve first reaches the target, linear between its points; infinite where it never does."""
    reached = np.flatnonzero(curve >= target)
    if not len(reached):
        return math.inf
    place = int(reached[0])
    if place == 0:
        return float(efforts[0])
    share = (target - curve[place - 1]) / (curve[place] - curve[place - 1])
    return float(efforts[place - 1] + share * (efforts[place] - efforts[place - 1]))


def level(curve: np.ndarray, gained: float) -> float:
    """The height at which a curve has made this share of its whole gain; at 1 its end, to the last digit."""
    return float(curve[-1]) if gained == 1 else float(curve[0] + gained * (curve[-1] - curve[0]))


def saving(
    efforts: np.ndarray, curves: np.ndarray, base_efforts: np.ndarray, base_curves: np.ndarray, gained: float
) -> Estimate:
    """The share of the baseline's effort that is saved on the way to a target; negative where more is needed.

    Mean curves are compared; the interval is a percentile bootstrap over paired runs. An arm that never gets there
    has saved −∞.

    Args:
        efforts, base_efforts: (runs, k) labels, or boxes, at each point. curves, base_curves: (runs, k) metrics.
        gained: the target, as a share of what the baseline gains. Each resample has its own: half of them end below
            the mean of all, and a baseline that cannot reach its own target would make any arm look perfect.
    """

    def share(rows: np.ndarray) -> float:
        base_curve = base_curves[rows].mean(axis=0)
        target = level(base_curve, gained)
        needed = first_reached(efforts[rows].mean(axis=0), curves[rows].mean(axis=0), target)
        base = first_reached(base_efforts[rows].mean(axis=0), base_curve, target)
        if base == 0:
            # Images without objects cost nothing, and nothing can be saved of that.
            return -math.inf if needed else 0.0
        return 1 - needed / base

    runs = len(curves)
    mean = share(np.arange(runs))
    if runs < 2:
        return Estimate(mean, math.nan, math.nan)
    rng = np.random.default_rng(0)
    shares = np.sort([share(rng.integers(0, runs, runs)) for _ in range(RESAMPLES)])
    # Without interpolation: between −∞ and a number there is no middle.
    low, high = (shares[round(q * (len(shares) - 1))] for q in ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2))
    return Estimate(mean, float(low), float(high))
