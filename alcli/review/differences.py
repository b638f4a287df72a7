"""Which annotations to look at again: those on which the model fails far more than it expected to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pycocotools.mask import iou
from sklearn.isotonic import IsotonicRegression

from alcli.annotations import Annotation, Box

MISSING, EXTRA, WRONG, SHIFTED, DIFFERENT = "missing box", "extra box", "wrong class", "shifted box", "different"
LEARNT = "an earlier model saw something else; the newest agrees"
SURE = 0.5
"""The score from which a predicted box counts."""
CERTAIN = 0.7
"""The score from which a model that says something else may be right."""
SAME, TOUCHING = 0.5, 0.1
"""Intersection over union of two boxes around the same object, and of two that have to do with each other."""
FEWEST = 20
SPREAD = 1.15
"""Three of four normal values lie no more standard deviations from their middle."""


@dataclass(frozen=True)
class Difference:
    """How an annotation and a prediction differ: the kind, and the classes in words.

    Attributes:
        score: of what the model says instead, in [0, 1]; 0 where it says nothing else.
        box: what the model sees instead; None where it is no box.
    """

    kind: str
    detail: str
    score: float = 0.0
    box: Box | None = None

    @property
    def is_sure(self) -> bool:
        """Whether the model is sure of something else: that it misses an object says too little."""
        return self.score >= CERTAIN


def excess(true: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """(n,) how far true losses lie above what was to be expected of images that looked as hard, in spreads.

    A predicted loss has no unit: what it means is learnt from the items themselves, as the best rising function of it
    (isotonic regression). With fewer than twenty items the middle of the true losses is expected of all. Spread: what
    three of four lie within, as a standard deviation; a few wrong ones hardly widen it.
    """
    if not len(true):
        return np.zeros(0)
    if len(true) >= FEWEST:
        expected = IsotonicRegression(out_of_bounds="clip").fit(predicted, true).predict(predicted)
    else:
        expected = np.full(len(true), np.median(true))
    above = true - expected
    spread = float(np.quantile(np.abs(above - np.median(above)), 0.75)) / SPREAD
    return np.asarray((above - np.median(above)) / max(spread, 1e-9))


def difference(said: Annotation, seen: Annotation) -> Difference:
    """The most telling difference between what a person said and what a model sees."""
    if said.labels or seen.labels:
        return _of_labels(said, seen)
    if said.boxes or seen.boxes:
        return _of_boxes(said.boxes, [box for box in seen.boxes if (box.score or 0) >= SURE])
    return Difference(DIFFERENT, "")


def _of_labels(said: Annotation, seen: Annotation) -> Difference:
    scores = dict(zip(seen.labels, seen.label_scores or (1.0,) * len(seen.labels), strict=True))
    others = {name: score for name, score in scores.items() if name not in said.labels}
    if not others:
        return Difference(DIFFERENT, LEARNT)
    name = max(others, key=lambda other: others[other])
    detail = f"labeled {', '.join(said.labels) or 'nothing'}, the model sees {name} {100 * others[name]:.0f} %"
    return Difference(WRONG, detail, others[name])


def _of_boxes(said: Sequence[Box], seen: Sequence[Box]) -> Difference:
    """The surest of all differences; what the model is sure of counts most."""
    overlaps = overlap(said, seen)
    differences = [difference for row, box in enumerate(said) for difference in _of_box(box, seen, overlaps[row])]
    for column, box in enumerate(seen):
        if not (overlaps[:, column] >= TOUCHING).any():
            detail = f"the model sees a {box.label} {_percent(box)}"
            differences.append(Difference(MISSING, detail, box.score or 0.0, box))
    return max(differences, key=lambda difference: difference.score, default=Difference(DIFFERENT, LEARNT))


def _of_box(box: Box, seen: Sequence[Box], overlaps: np.ndarray) -> list[Difference]:
    near = [(seen[column], overlaps[column]) for column in np.flatnonzero(overlaps >= TOUCHING).tolist()]
    same = [(other, overlap) for other, overlap in near if other.label == box.label]
    if any(overlap >= SAME for _, overlap in same):
        return []
    others = [other for other, overlap in near if overlap >= SAME]
    if others:
        best = max(others, key=lambda other: other.score or 0.0)
        detail = f"labeled {box.label}, the model sees {best.label} {_percent(best)}"
        return [Difference(WRONG, detail, best.score or 0.0, best)]
    if same:
        best = max((other for other, _ in same), key=lambda other: other.score or 0.0)
        detail = f"the model sees the {box.label} elsewhere, {_percent(best)}"
        return [Difference(SHIFTED, detail, best.score or 0.0, best)]
    # That a model misses an object says least of all.
    return [] if near else [Difference(EXTRA, f"the model sees no {box.label} there")]


def _percent(box: Box) -> str:
    return f"{100 * (box.score or 0):.0f} %"


def overlap(some: Sequence[Box], others: Sequence[Box]) -> np.ndarray:
    """(some, others) intersection over union, in [0, 1]."""
    # Not torchvision's box_iou: it gives the same numbers, but needs torch, which this file does not import.
    left, right = ([(box.x1, box.y1, box.x2 - box.x1, box.y2 - box.y1) for box in side] for side in (some, others))
    table = iou(np.array(left).reshape(-1, 4), np.array(right).reshape(-1, 4), [0] * len(right))
    return np.array(table, dtype=np.float64).reshape(len(some), len(others))  # the library returns [] without boxes
