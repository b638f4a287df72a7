"""What the outputs of exported models mean: which layout they have, and the boxes or probabilities in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from alcli.predictions import Boxes

RAW, OBJECTNESS, FINAL, LISTS, SCORES = "raw", "objectness", "final", "lists", "scores"
"""Layouts.

``raw``: (1, 4 + classes, k), center and size, one score per class; boxes overlap (Ultralytics v8, 11, 26).
``objectness``: (1, k, 5 + classes), the same with the probability of any object before the classes (YOLOv5).
``final``: (1, k, 6), corners, score, class; the rest are zeros (Ultralytics with NMS in the model, or without need).
``lists``: boxes (k, 4), class numbers (k,), scores (k,) in any order (torchvision).
``scores``: (1, classes), logits or probabilities of an image (classifiers).
"""
BACKGROUND = ("__background__", "background")
MOST_BOXES = 300
MOST_CANDIDATES = 3000
PER_BOX, FINAL_WIDTH = 4, 6
SUM_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Limits:
    """Which boxes are kept: ``threshold`` of their scores, and the ``overlap`` (IoU) that suppresses the weaker."""

    threshold: float
    overlap: float


def layout_of(outputs: Sequence[np.ndarray], classes: int) -> str:
    """The layout of a model's outputs; empty if it is none of those that are known.

    Args:
        classes: how many names are known; 0 for none.
    """
    shapes = [array.shape for array in outputs]
    if len(shapes) == 3:
        kinds = {(array.ndim, array.dtype.kind) for array in outputs}
        lists = kinds == {(2, "f"), (1, "f"), (1, "i")} and len({len(array) for array in outputs}) == 1
        return LISTS if lists and any(shape[1:] == (PER_BOX,) for shape in shapes) else ""
    if len(shapes) != 1 or outputs[0].dtype.kind != "f":
        return ""
    if len(shapes[0]) == 2 and shapes[0][0] == 1:
        return SCORES
    if len(shapes[0]) != 3 or shapes[0][0] != 1:
        return ""
    _, first, second = shapes[0]
    if second == FINAL_WIDTH and first != classes + PER_BOX:
        return FINAL
    if classes and second == PER_BOX + 1 + classes and first > second:
        return OBJECTNESS
    return RAW if first > PER_BOX and (second > first or first == classes + PER_BOX) else ""


def class_count(layout: str, outputs: Sequence[np.ndarray]) -> int | None:
    """How many classes the outputs have; None where they hold numbers of classes."""
    if layout == SCORES:
        return outputs[0].shape[1]
    if layout == RAW:
        return outputs[0].shape[1] - PER_BOX
    return outputs[0].shape[2] - PER_BOX - 1 if layout == OBJECTNESS else None


def read_boxes(layout: str, outputs: Sequence[np.ndarray], names: Sequence[str], limits: Limits) -> Boxes:
    """Boxes in input pixels, best first; raises ValueError with the reason for outputs that cannot be used."""
    if any(not np.isfinite(array).all() for array in outputs):
        raise ValueError("the model's outputs are not finite")
    if layout == FINAL:
        table = outputs[0][0].astype(np.float64)
        return _select_boxes(table[:, :4], table[:, 4], table[:, 5].round().astype(np.int64), names, limits)
    if layout == LISTS:
        corners = next(array for array in outputs if array.ndim == 2).astype(np.float64)
        scores = next(array for array in outputs if array.ndim == 1 and array.dtype.kind == "f").astype(np.float64)
        # Label 0 is the background, whether the names count it or not.
        first = 0 if names[0] in BACKGROUND else 1
        numbers = next(array for array in outputs if array.dtype.kind == "i").astype(np.int64)
        return _select_boxes(corners, scores, numbers - first, names, limits)
    table = outputs[0][0].astype(np.float64)
    table = table.T if layout == RAW else table  # (k, 4 + classes)
    scores = table[:, PER_BOX:] if layout == RAW else table[:, PER_BOX : PER_BOX + 1] * table[:, PER_BOX + 1 :]
    middle, half = table[:, :2], table[:, 2:4] / 2
    return _suppress(np.concatenate([middle - half, middle + half], axis=1), scores, names, limits)


def read_probabilities(outputs: Sequence[np.ndarray], several_labels: bool) -> np.ndarray:
    """(classes,) float64; of logits by softmax, or by the logistic function where an image has several labels.

    Raises:
        ValueError: an output is not finite.
    """
    values = outputs[0][0].astype(np.float64)
    if not np.isfinite(values).all():
        raise ValueError("the model's outputs are not finite")
    inside = values.min() >= 0 and values.max() <= 1
    if several_labels:
        return values if inside else 1 / (1 + np.exp(-values.clip(-700, 700)))
    if inside and abs(values.sum() - 1) < SUM_TOLERANCE:
        return values
    powers = np.exp(values - values.max())
    return np.asarray(powers / powers.sum())


def _select_boxes(
    corners: np.ndarray, scores: np.ndarray, numbers: np.ndarray, names: Sequence[str], limits: Limits
) -> Boxes:
    """Boxes that the model has selected itself."""
    _check_scores(scores)
    kept = np.flatnonzero(scores >= max(limits.threshold, 1e-9))
    kept = kept[np.argsort(-scores[kept], kind="stable")][:MOST_BOXES]
    for number in numbers[kept].tolist():
        if not 0 <= number < len(names):
            raise ValueError(f"a box is of class {number}, and there are {len(names)} names, counted from 0")
    return Boxes([names[number] for number in numbers[kept].tolist()], corners[kept], scores[kept])


def _suppress(corners: np.ndarray, scores: np.ndarray, names: Sequence[str], limits: Limits) -> Boxes:
    """The best box of each heap of one class, with the probabilities of all classes and the size of its heap.

    Args:
        scores: (k, classes), each between 0 and 1 on its own.
    """
    import torch
    from torchvision.ops import batched_nms, box_iou

    _check_scores(scores)
    best = scores.max(axis=1)
    kept = np.flatnonzero(best >= max(limits.threshold, 1e-9))
    kept = kept[np.argsort(-best[kept], kind="stable")][:MOST_CANDIDATES]
    corners, scores, best = corners[kept], scores[kept], best[kept]
    labels = scores.argmax(axis=1) if len(kept) else np.zeros(0, dtype=np.int64)
    boxes = torch.from_numpy(corners)
    chosen = batched_nms(boxes, torch.from_numpy(best), torch.from_numpy(labels), limits.overlap)[:MOST_BOXES]
    near = box_iou(boxes[chosen], boxes).numpy() > limits.overlap  # (chosen, k)
    rows = chosen.numpy()
    support = (near & (labels[rows][:, None] == labels)).sum(axis=1) - 1  # without the box itself
    # Scores of their own per class may sum to more than 1, which probabilities must not.
    table = scores[rows] / np.maximum(scores[rows].sum(axis=1, keepdims=True), 1)
    return Boxes([names[label] for label in labels[rows].tolist()], corners[rows], best[rows], table,
                 np.maximum(support, 0).astype(np.float64))  # fmt: skip


def _check_scores(scores: np.ndarray) -> None:
    if scores.size and (scores.min() < -SUM_TOLERANCE or scores.max() > 1 + SUM_TOLERANCE):
        raise ValueError(f"a score of {scores.max():.3g} is not in [0, 1]")
