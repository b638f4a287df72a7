"""Whether one model is worse than another on the same images: a test that exchanges their predictions.

If two models are equally good, it does not matter which of them made which prediction of an image. Exchanged at random,
image by image, they show how far the difference of the metric goes by chance (approximate randomization: Noreen,
"Computer-Intensive Methods for Testing Hypotheses", 1989). What makes an image hard for both models cancels out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from alcli.errors import DataError

if TYPE_CHECKING:
    from alcli.annotations import Annotation
    from alcli.tasks import Example, Task

DRAWS, ENOUGH_DRAWS = 200, 20
"""The mean difference is zero by construction, so that 200 draws are 200 degrees of freedom for its spread."""
MOST_IMAGES = 20_000
"""To evaluate for all draws together; two models on more than 500 images need no pairs to be told apart."""

ROUNDING = 1e-9


@dataclass(frozen=True)
class Exchange:
    """The main metric of two models on the same images.

    Attributes:
        p: of a difference at least as bad for the new model, if both were equally good; 1 where it was not tested.
    """

    images: int
    new: float
    before: float
    p: float


def compare_on_same_images(
    task: Task,
    examples: Sequence[Example],
    new: Mapping[str, Annotation],
    before: Mapping[str, Annotation],
    least_loss: float,
    seed: int,
) -> Exchange | None:
    """Compare the main metric of two models on the images that both have judged, each with the same weight.

    Args:
        examples: that neither model was trained on. new, before: predictions by item id. least_loss: of the new model;
            a smaller one is not tested, which would take hundreds of evaluations.

    Returns:
        None where the metric cannot be computed, or there are too many images.
    """
    both = [example for example in examples if example.item.id in new and example.item.id in before]
    draws = min(DRAWS, MOST_IMAGES // max(2 * len(both), 1))
    if not both or draws < ENOUGH_DRAWS:
        return None
    try:
        values = [_headline(task, both, predictions) for predictions in (new, before)]
        difference, p = values[0] - values[1], 1.0
        if -difference >= least_loss:
            chance = _differences(task, both, new, before, draws, np.random.default_rng(seed))
            p = _p_value(difference, chance)
    except DataError:
        return None
    return Exchange(len(both), values[0], values[1], p)


def _p_value(difference: float, chance: np.ndarray) -> float:
    """The larger of two: the share of exchanges that are as bad, and that of a normal curve as wide as all of them.

    The share alone cannot be small with so few exchanges; the curve alone is too narrow for a handful of images.
    """
    spread = math.sqrt(float(np.square(chance).mean()))
    if spread == 0 or not math.isfinite(spread):
        return 1.0
    as_bad = float((chance <= difference + ROUNDING).mean())
    return max(as_bad, float(stats.t.cdf(difference / spread, len(chance))))


def _differences(
    task: Task,
    examples: Sequence[Example],
    new: Mapping[str, Annotation],
    before: Mapping[str, Annotation],
    draws: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """(draws,) how far the difference goes by chance: after random exchanges."""
    ids = [example.item.id for example in examples]
    differences = []
    for _ in range(draws):
        swaps = rng.random(len(examples)) < 0.5
        pairs = [(before, new) if swap else (new, before) for swap in swaps.tolist()]
        mixed = [{i: pair[side][i] for i, pair in zip(ids, pairs, strict=True)} for side in (0, 1)]
        differences.append(_headline(task, examples, mixed[0]) - _headline(task, examples, mixed[1]))
    return np.array(differences)


def _headline(task: Task, examples: Sequence[Example], predictions: Mapping[str, Annotation]) -> float:
    return next(iter(task.evaluate(examples, [predictions[example.item.id] for example in examples]).values()))
