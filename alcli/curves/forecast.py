"""Forecast of a learning curve: from a few points to a bundle of curves that fit them.

Every curve is c − a·s(n): an asymptote c ≤ 1 minus the remaining gap, which shrinks by one of three laws: a power law
(Cortes et al., NIPS 1993; Hestness et al. 2017), an exponential or a hyperbola. As in Domhan, Springenberg & Hutter
(IJCAI 2015) and Mahmood et al. ("How Much More Data Do I Need?", CVPR 2022) several families are mixed, because no
single one fits all tasks and a wrong one is overconfident.

A project has three to ten points, too few for a bootstrap, so curves are drawn from the posterior. For each law, rate
and noise on a grid the model is linear in c and a, and their posterior has a closed form.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from alcli.curves.estimate import Estimate
from alcli.errors import DataError, UsageError

LAWS: tuple[Callable[[np.ndarray, Any], np.ndarray], ...] = (
    lambda x, rate: x**-rate,
    lambda x, rate: np.exp(-rate * (x - 1)),
    lambda x, rate: 1 / (1 + rate * (x - 1)),
)
"""s(x): the remaining gap at x times the first number of labels, 1 at x = 1."""
TYPICAL_RATES = (0.5, 0.4, 0.6)
RATES = np.exp(np.linspace(-2.2, 2.2, 31))
RATE_SPREAD = 0.9
NOISES = np.array([0.004, 0.008, 0.014, 0.022, 0.035, 0.06])
TYPICAL_NOISE, NOISE_SPREAD = 0.014, 0.7
"""Standard deviation between trainings, in the metric's unit: about that of 70 % measured on a thousand images."""
DRAWS = 2000
TRIES = 30
CONFIDENCE = 0.9
FEWEST = 2


@dataclass(frozen=True)
class Bundle:
    """Curves that fit the points, all equally likely.

    Attributes:
        first: number of labels at the first point.
        laws, rates, tops, missing, noises: (draws,) parameters; a curve is ``tops − missing · law(n / first, rate)``.
    """

    first: float
    laws: np.ndarray
    rates: np.ndarray
    tops: np.ndarray
    missing: np.ndarray
    noises: np.ndarray

    def at(self, labels: Sequence[float]) -> np.ndarray:
        """The height of every curve at k numbers of labels: (draws, k)."""
        x = np.asarray(labels, dtype=np.float64) / self.first
        gaps = np.empty((len(self.laws), len(x)))  # (draws, k)
        for number, law in enumerate(LAWS):
            chosen = self.laws == number
            gaps[chosen] = law(x[None, :], self.rates[chosen, None])
        return self.tops[:, None] - self.missing[:, None] * gaps

    def band(self, labels: Sequence[float], confidence: float = CONFIDENCE, measured: bool = False) -> list[Estimate]:
        """Median and interval at each number of labels; ``measured`` adds the noise of a measurement."""
        heights = self.at(labels)
        if measured:
            heights = heights + np.random.default_rng(1).standard_normal(heights.shape) * self.noises[:, None]
        low, middle, high = np.quantile(heights, [(1 - confidence) / 2, 0.5, (1 + confidence) / 2], axis=0)
        return [Estimate(*numbers) for numbers in zip(middle.tolist(), low.tolist(), high.tolist(), strict=True)]

    def gain(self, now: float, then: float, confidence: float = CONFIDENCE) -> Estimate:
        """The increase of the metric from ``now`` to ``then`` labels."""
        heights = self.at([now, then])
        gains = heights[:, 1] - heights[:, 0]
        low, middle, high = np.quantile(gains, [(1 - confidence) / 2, 0.5, (1 + confidence) / 2])
        return Estimate(float(middle), float(low), float(high))

    def labels_to_reach(self, target: float) -> np.ndarray:
        """Numbers of labels at which the curves reach the target, ascending, infinite if never: (draws,)."""
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            gap = (self.tops - target) / self.missing
            x = np.select(
                [self.laws == 0, self.laws == 1],
                [gap ** (-1 / self.rates), 1 - np.log(gap) / self.rates],
                1 + (1 / gap - 1) / self.rates,
            )
        return np.sort(np.where(gap > 0, np.maximum(x, 0) * self.first, np.inf))


@dataclass(frozen=True)
class Needed:
    """Total number of labels at which a target is reached; ``high`` and ``median`` may be infinite.

    Attributes:
        reachable: the share of curves that ever reach it, in [0, 1].
    """

    median: float
    low: float
    high: float
    reachable: float


def fit(labels: Sequence[float], values: Sequence[float], measured_on: Sequence[int] = (), seed: int = 0) -> Bundle:
    """Draw the curves that fit the points.

    Args:
        labels: annotated images at each point, ascending, positive.
        values: the metric at each point, in [0, 1]; NaN and infinite ones are skipped.
        measured_on: images that each value was measured on. m(1 − m)/n is then added to the noise variance, the largest
            variance of a mean m of n numbers in [0, 1] (Bhatia & Davis, American Mathematical Monthly 2000).

    Raises:
        DataError: fewer than two points at different numbers of labels.
    """
    points = np.array([labels, values, measured_on or [0] * len(labels)], dtype=np.float64)
    points = points[:, np.isfinite(points).all(axis=0) & (points[0] > 0)]
    if len(set(points[0].tolist())) < FEWEST:
        raise DataError(
            "A forecast needs two cycles with a metric and different numbers of labels; it is useful after four.",
            do="Annotate the first images of the queue, then run `alcli cycle`.",
        )
    counted = np.where(points[2] > 0, points[2], np.inf)
    sampling = np.clip(points[1] * (1 - points[1]), 0, 0.25) / counted
    return _draw_bundle(points[0], points[1], sampling, np.random.default_rng(seed))


def labels_needed(bundle: Bundle, target: float, confidence: float = CONFIDENCE) -> Needed:
    """The labels at which the bundle reaches the target; raises UsageError for a target outside (0, 1]."""
    check_target(target)
    labels = bundle.labels_to_reach(target)

    # Quantiles without interpolation, because numbers of labels can be infinite.
    def at(quantile: float) -> float:
        return float(labels[min(int(quantile * len(labels)), len(labels) - 1)])

    return Needed(at(0.5), at((1 - confidence) / 2), at((1 + confidence) / 2), float(np.isfinite(labels).mean()))


def check_target(target: float) -> None:
    """Raises UsageError unless 0 < target ≤ 1."""
    if not (math.isfinite(target) and 0 < target <= 1):
        raise UsageError(
            f"The target {target:g} is impossible: metrics lie between 0 and 1.", do="For 75 % write --target 75%"
        )


def _draw_bundle(labels: np.ndarray, values: np.ndarray, sampling: np.ndarray, rng: np.random.Generator) -> Bundle:
    """Sample laws, rates and noises from their posterior on the grid, then c and a given these."""
    x = labels / labels[0]
    # A weak prior: the asymptote lies between the highest value and 1, and the curve rises.
    prior_mean = np.array([(values.max() + 1) / 2, (values.max() + 1) / 2 - values[0]])
    prior = np.linalg.inv(np.diag([0.25**2, 0.3**2]))
    cells, weights, means, roots = [], [], [], []
    for number, law in enumerate(LAWS):
        for rate in RATES:
            design = np.stack([np.ones_like(x), -law(x, rate)], axis=1)
            for noise in NOISES:
                precision = 1 / (noise**2 + sampling)
                inverse = np.linalg.inv(prior + design.T @ (precision[:, None] * design))
                mean = inverse @ (prior @ prior_mean + design.T @ (precision * values))
                cells.append((number, rate, noise))
                means.append(mean)
                roots.append(np.linalg.cholesky(inverse))
                misfit = precision @ (values - design @ mean) ** 2 + (mean - prior_mean) @ prior @ (mean - prior_mean)
                evidence = 0.5 * (np.log(precision).sum() + np.linalg.slogdet(inverse)[1] - misfit)
                rate_prior = -0.5 * (math.log(rate / TYPICAL_RATES[number]) / RATE_SPREAD) ** 2
                noise_prior = -0.5 * (math.log(noise / TYPICAL_NOISE) / NOISE_SPREAD) ** 2
                weights.append(evidence + rate_prior + noise_prior)
    chances = np.exp(np.array(weights) - max(weights))
    picks = rng.choice(len(cells), size=DRAWS * TRIES, p=chances / chances.sum())
    deviations = np.einsum("nij,nj->ni", np.array(roots)[picks], rng.standard_normal((len(picks), 2)))
    ends = np.array(means)[picks] + deviations  # (picks, 2): c and a
    # Metrics are at most 1, and correct labels do not lower them.
    possible = np.flatnonzero((ends[:, 0] <= 1) & (ends[:, 1] >= 0))[:DRAWS]
    if not len(possible):
        # The points fall, so use a constant curve at their mean.
        picks, ends, possible = picks[:1], np.array([[values.mean(), 0.0]]), np.array([0])
    chosen = np.array(cells)[picks[possible]]
    return Bundle(float(labels[0]), chosen[:, 0], chosen[:, 1], ends[possible, 0], ends[possible, 1], chosen[:, 2])
