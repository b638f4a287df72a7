"""From predictions to signals, in numpy: the same measures as of alcli's own models, as far as predictions allow.

Each function returns the signals of one image; ``KEYS`` says which keys of a predictions file give a signal.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from alcli.config import TaskOptions
from alcli.predictions import FRACTIONS, Boxes, ImagePrediction, in_order
from alcli.signals import UNKNOWN

CONFIDENT, MOST_BOXES, DOUBTFUL = 0.05, 100, 0.2
"""Of alcli's own detectors: least foreground probability, boxes of an image, least second class for a tie."""
UNCERTAINTIES = ("entropy", "margin", "least_confidence")
PARTS = {
    "classification": "probabilities",
    "detection": "boxes",
    "pose": "keypoints",
    "segmentation": "masks or shares",
}
"""The keys that give a task's signals."""
Values = dict[str, np.ndarray]


def key_for(signal: str, task: str) -> str:
    """Which key of a predictions file gives a signal, in words."""
    if signal == "embedding":
        return '"embedding" (or an .npz file: learner.embeddings)'
    if signal == "support":
        return '"support"'
    part = PARTS.get(task)
    derived = part and signal in (*UNCERTAINTIES, "class_scores", "class_uncertainty", "expected_objects", "tie")
    if task == "segmentation" and signal in (*UNCERTAINTIES, "class_uncertainty"):
        derived = False
    return f'"{part}", or "signals": {{"{signal}": …}}' if derived else f'"signals": {{"{signal}": …}}'


def of_labels(prediction: ImagePrediction, classes: Sequence[str], options: TaskOptions, several: bool) -> Values:
    """The signals of an image's class probabilities."""
    if prediction.probabilities is None:
        return {}
    values = in_order(prediction.probabilities, prediction.classes, classes)  # (classes,)
    if several:
        pairs = np.stack([values, 1 - values], axis=1)  # (classes, 2)
        return {
            **_aggregated(pairs, float(values.sum()), options),
            "class_scores": values,
            "class_uncertainty": entropy(pairs),
            "expected_objects": np.asarray(values.sum()),
        }
    return {
        **_aggregated(values[None], float(values.sum()), options),
        "class_scores": values,
        "class_uncertainty": entropy(values[None])[0] * values,
        "expected_objects": np.asarray(values.sum()),
    }


def of_boxes(prediction: ImagePrediction, classes: Sequence[str], options: TaskOptions) -> Values:
    """The signals of an image's boxes; a box without probabilities has its class and the background.

    ``support`` is the mean over the boxes of the number of boxes before suppression that overlap each.
    """
    boxes = prediction.boxes
    if boxes is None:
        return {}
    table = _distributions(boxes, prediction.classes, classes)  # (k, classes)
    foreground = table.sum(axis=1)
    order = np.argsort(-foreground, kind="stable")[:MOST_BOXES]
    order = order[foreground[order] >= CONFIDENT]
    table, foreground = table[order], foreground[order]
    full = np.concatenate([np.clip(1 - foreground, 0, 1)[:, None], table], axis=1)  # background first
    blank = np.zeros((1, len(classes)))
    count = float(foreground.sum())
    shares = entropy(full)[:, None] * table / np.maximum(foreground, 1e-12)[:, None]
    values = {
        **_aggregated(full, count, options),
        "class_scores": np.concatenate([blank, table]).max(axis=0),
        "class_uncertainty": shares.sum(axis=0),
        "expected_objects": np.asarray(count),
        "tie": _tie(table, boxes.corners[order], prediction),
    }
    if boxes.support is not None:
        values["support"] = np.asarray(boxes.support[order].mean() if len(order) else 0.0)
    return values


def of_joints(prediction: ImagePrediction, classes: Sequence[str], options: TaskOptions) -> Values:
    """The signals of the joints of an image's people, from their scores."""
    if prediction.people is None:
        return {}
    table = np.array([[person[name][2] if name in person else 0.0 for name in classes] for person in prediction.people])
    table = table.reshape(-1, len(classes))  # (people, joints)
    pairs = np.stack([table, 1 - table], axis=2)
    people = max(len(table), 1)
    return {
        **_aggregated(pairs.reshape(-1, 2), float(table.sum()), options),
        "class_scores": table.sum(axis=0) / people,
        "class_uncertainty": entropy(pairs).sum(axis=0) / people,
        "expected_objects": np.asarray(table.sum()),
    }


def of_regions(prediction: ImagePrediction, classes: Sequence[str]) -> Values:
    """The signals of an image's shares of pixels, or those of its masks; uncertainties cannot be had from them."""
    shares = prediction.shares
    if shares is None and prediction.masks is not None:
        shares = {name: float(mask.pixels().mean()) for name, mask in prediction.masks.items()}
    if shares is None:
        return {}
    values = np.array([shares.get(name, 0.0) for name in classes])
    return {"class_scores": values, "expected_objects": np.asarray((values > 0).sum())}


def entropy(table: np.ndarray) -> np.ndarray:
    """−Σ p log p over the last axis, in nats."""
    logs = np.log(np.where(table > 0, table, 1.0))
    return np.asarray(-(table * logs).sum(axis=-1))


def _margin(table: np.ndarray) -> np.ndarray:
    if table.shape[-1] == 1:
        return np.zeros(len(table))
    top = -np.partition(-table, 1, axis=-1)[:, :2]
    return np.asarray(1 - (top[:, 0] - top[:, 1]))


def _aggregated(table: np.ndarray, count: float, options: TaskOptions) -> Values:
    """Uncertainties of an image from those of its parts (k, outcomes), as ``task.aggregate`` says."""
    if not len(table):
        return {name: np.asarray(UNKNOWN) for name in UNCERTAINTIES}
    measures = (entropy(table), _margin(table), 1 - table.max(axis=1))
    scale = max(count, 1.0) ** options.count_power
    return {
        name: np.asarray(_one_number(part, options) / scale) for name, part in zip(UNCERTAINTIES, measures, strict=True)
    }


def _one_number(part: np.ndarray, options: TaskOptions) -> float:
    if options.aggregate == "top-k":
        return float(np.sort(part)[::-1][: options.top_k].mean())
    return float(getattr(part, options.aggregate)())


def _distributions(boxes: Boxes, names: Sequence[str], classes: Sequence[str]) -> np.ndarray:
    """(k, classes) probabilities of each class; the score counts for the label alone without any."""
    if boxes.probabilities is not None:
        return in_order(boxes.probabilities, names, classes)
    table = np.zeros((len(boxes.labels), len(classes)))
    index = {name: column for column, name in enumerate(classes)}
    for row, label in enumerate(boxes.labels):
        if label in index:
            table[row, index[label]] = boxes.scores[row]
    return table


def _tie(table: np.ndarray, corners: np.ndarray, prediction: ImagePrediction) -> np.ndarray:
    """(6,) the two classes of the closest box, their closeness, its center, and the larger score; zeros without one."""
    none = np.zeros(6)
    if not len(table) or table.shape[1] < 2:
        return none
    if prediction.units != FRACTIONS and prediction.size is None:
        return none
    order = np.argsort(-table, axis=1, kind="stable")[:, :2]
    first, second = np.take_along_axis(table, order, axis=1).T
    closeness = np.where(second >= DOUBTFUL, 1 - (first - second), 0)
    box = int(closeness.argmax())
    if not closeness[box]:
        return none
    scale = np.array([1.0, 1.0] if prediction.units == FRACTIONS else prediction.size)
    center = np.clip((corners[box, :2] + corners[box, 2:]) / 2 / scale, 0, 1)
    return np.array([*order[box], closeness[box], *center, first[box]])
