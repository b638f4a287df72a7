"""The metric on all images that a model was not trained on, estimated from the few of them that are held out.

What a strategy asks for is unlike the pool, and so is the held-out share of it: its plain mean is biased. Therefore the
images are cut into strata by the model's own uncertainty, and each held-out image stands for its share of its stratum
(post-stratification: Holt & Smith, Journal of the Royal Statistical Society A 142, 1979).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from alcli.errors import DataError
from alcli.signals import Signals

if TYPE_CHECKING:
    from alcli.annotations import Annotation
    from alcli.tasks import Example, Task

STRATA = 12
FEWEST = 3
"""Held-out images in a stratum; with fewer it is merged with a neighbor."""
DRAWS, ENOUGH_DRAWS = 30, 20
"""A variance from 30 draws is off by a quarter, its root by an eighth; with pycocotools each draw takes long."""
MOST_COPIES, COPIES_OF_DRAWS = 1000, 20_000
"""Images to evaluate for the metric, and for all draws of its interval together."""
QUANTILE = 1.6449
"""Of the normal distribution, for a two-sided interval of 90 %."""
ALIKE = 1e-3
"""Range of expected objects below which every image has one."""
UNCERTAINTIES = ("margin", "class_uncertainty", "entropy", "least_confidence", "predicted_loss", "mutual_information")
"""Signals that strata can be made from, best first."""


@dataclass(frozen=True)
class Strata:
    """Held-out images with their weights.

    Attributes:
        of: (n,) the stratum of each. weights: (n,) share of its stratum in pool and held-out images together, divided
            by the share among the held-out ones; the mean is 1.
    """

    of: np.ndarray
    weights: np.ndarray

    @property
    def count(self) -> int:
        """Number of strata; one says nothing about the pool."""
        return len(set(self.of.tolist()))

    @property
    def effective_images(self) -> float:
        """How many images of equal weight would be as many (Kish, "Survey Sampling", 1965)."""
        return float(self.weights.sum() ** 2 / (self.weights**2).sum()) if len(self.weights) else 0.0


@dataclass(frozen=True)
class Measured:
    """Metrics with the 90 % interval of the headline; ``interval`` is None where the headline is no share."""

    metrics: dict[str, float]
    interval: tuple[float, float] | None
    strata: Strata


def choose_signal(signals: Signals) -> str | None:
    """The signal to cut by: class uncertainty where images hold several objects, otherwise the margin, if computed."""
    names = [name for name in UNCERTAINTIES if name in signals.arrays]
    objects = signals.arrays.get("expected_objects", np.zeros(0))
    if "class_uncertainty" in names and len(objects) and np.ptp(objects) > ALIKE:
        return "class_uncertainty"
    return names[0] if names else None


def uncertainty(signals: Signals, name: str) -> np.ndarray:
    """(n,) one number per image; NaN where the model gave none, or sees no object."""
    values = signals[name].astype(np.float64)
    values = values.sum(axis=1) if values.ndim == 2 else values
    known = np.isfinite(values)
    if name != "predicted_loss":
        known &= values >= 0
    return np.asarray(np.where(known, values, np.nan))


def equal_strata(count: int) -> Strata:
    """One stratum of equal weights."""
    return Strata(np.zeros(count, dtype=np.int64), np.ones(count))


def make_strata(pool: np.ndarray, held_out: np.ndarray) -> Strata:
    """Cut pool and held-out images at the twelfths of their (m,) and (n,) uncertainties; NaNs are a stratum."""
    everything = np.concatenate([pool, held_out])
    known = everything[np.isfinite(everything)]
    cuts = np.quantile(known, np.arange(1, STRATA) / STRATA) if len(known) else np.zeros(0)

    def cut(values: np.ndarray) -> np.ndarray:
        return np.where(np.isnan(values), 0, 1 + np.searchsorted(cuts, values))

    sizes = np.bincount(cut(everything), minlength=STRATA + 1)
    counts = np.bincount(cut(held_out), minlength=STRATA + 1)
    merged = _merge(sizes, counts)
    of = merged[cut(held_out)]
    shares = np.bincount(merged, sizes) / max(len(everything), 1)
    theirs = np.bincount(merged, counts) / max(len(held_out), 1)
    return Strata(of, shares[of] / theirs[of])


def _merge(sizes: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Which stratum each cell becomes part of, so that every stratum has held-out images enough."""
    strata = [[cell] for cell in range(len(counts)) if sizes[cell]] or [[0]]
    while len(strata) > 1:
        held = [int(counts[stratum].sum()) for stratum in strata]
        fewest = int(np.argmin(held))
        if held[fewest] >= FEWEST:
            break
        neighbors = [index for index in (fewest - 1, fewest + 1) if 0 <= index < len(strata)]
        other = min(neighbors, key=lambda index: held[index])
        first = min(fewest, other)
        strata[first : first + 2] = [strata[first] + strata[first + 1]]
    merged = np.zeros(len(counts), dtype=np.int64)
    for number, stratum in enumerate(strata):
        merged[stratum] = number
    return merged


def measure(
    task: Task, examples: Sequence[Example], predictions: Mapping[str, Annotation], strata: Strata, seed: int
) -> Measured:
    """The task's metrics with these weights, and an interval from a bootstrap within the strata.

    A metric that is no mean over images cannot be weighted: images are repeated in proportion to their weights.

    Raises:
        DataError: the task cannot compute its metrics from these examples.
    """
    limit = max(1, MOST_COPIES // max(len(examples), 1))
    metrics = _evaluate(task, examples, predictions, copies_of(strata.weights, limit))
    headline = next(iter(metrics.values()))
    values = _draw_values(task, examples, predictions, strata, np.random.default_rng(seed))
    return Measured(metrics, _interval(headline, values, strata), strata)


def copies_of(weights: np.ndarray, limit: int) -> np.ndarray:
    """(n,) how often each image is repeated, at least once: weights times the scale that needs the least rounding.

    Args:
        limit: the largest scale.
    """
    if not len(weights) or np.ptp(weights) == 0:
        return np.ones(len(weights), dtype=np.int64)
    scales = np.arange(1, max(limit, 1) + 1)[:, None]  # (scales, 1)
    exact = scales * weights  # (scales, n)
    errors = np.abs(np.maximum(np.rint(exact), 1) / scales - weights).sum(axis=1)
    best = int(np.flatnonzero(errors <= errors.min() + 1e-9)[0])
    return np.maximum(np.rint(exact[best]), 1).astype(np.int64)


def _evaluate(
    task: Task, examples: Sequence[Example], predictions: Mapping[str, Annotation], copies: Collection[int]
) -> dict[str, float]:
    """The metrics of examples repeated under ids of their own."""
    repeated: list[Example] = []
    predicted: list[Annotation] = []
    for example, count in zip(examples, copies, strict=True):
        prediction = predictions[example.item.id]
        for number in range(count):
            name = f"{number}/{example.item.id}"
            annotation = example.annotation and replace(example.annotation, item_id=name)
            repeated.append(replace(example, item=replace(example.item, id=name), annotation=annotation))
            predicted.append(replace(prediction, item_id=name))
    return task.evaluate(repeated, predicted)


def _draw_values(
    task: Task,
    examples: Sequence[Example],
    predictions: Mapping[str, Annotation],
    strata: Strata,
    rng: np.random.Generator,
) -> np.ndarray:
    """The headline of images drawn with replacement within each stratum; empty where there are too many of them."""
    copies = copies_of(strata.weights, 4)
    draws = min(DRAWS, COPIES_OF_DRAWS // max(int(copies.sum()), 1))
    if draws < ENOUGH_DRAWS:
        return np.zeros(0)
    values = []
    for _ in range(draws):
        times = np.zeros(len(examples), dtype=np.int64)
        for stratum in np.unique(strata.of):
            rows = np.flatnonzero(strata.of == stratum)
            np.add.at(times, rng.choice(rows, len(rows)), 1)
        try:
            values.append(next(iter(_evaluate(task, examples, predictions, times * copies).values())))
        except DataError:
            continue  # none of the images drawn has an object
    return np.array(values)


def _interval(headline: float, values: np.ndarray, strata: Strata) -> tuple[float, float] | None:
    """Wilson's interval, which stays in [0, 1], for the mean of two variances.

    The bootstrap's does not know how far images within a stratum differ from the pool's; the other one is the largest
    that a mean of so many numbers in [0, 1] can have. It is used alone where there are no draws, or all are equal: that
    every one of a few images is right does not mean that there is nothing to vary.
    """
    if not 0 <= headline <= 1 or not len(strata.of):
        return None
    images = len(strata.of)
    spread = max(headline * (1 - headline), 1 / (4 * images))
    variance = spread / strata.effective_images
    if len(values) >= ENOUGH_DRAWS and np.ptp(values) > 0:
        # A bootstrap of few images varies too little.
        drawn = float(values.var()) * images / max(images - strata.count, 1)
        variance = (variance + drawn) / 2
    ratio = QUANTILE**2 * variance / spread
    center = (headline + ratio / 2) / (1 + ratio)
    reach = math.sqrt(headline * (1 - headline) * ratio + ratio**2 / 4) / (1 + ratio)
    return max(center - reach, 0.0), min(center + reach, 1.0)
