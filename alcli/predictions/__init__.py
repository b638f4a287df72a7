"""Predictions that a model made elsewhere: one record per image, read from files, turned into signals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from alcli.annotations import Annotation, Box, Keypoint, Mask, Pose

FRACTIONS, PIXELS = "fractions", "pixels"
"""Units of coordinates: of the image's width and height, or pixels of the upright image."""


@dataclass(frozen=True)
class Boxes:
    """The boxes of one image, k of them.

    Attributes:
        labels: k class names. corners: (k, 4) x1, y1, x2, y2. scores: (k,) in [0, 1].
        probabilities: (k, classes) of each class, in the order of the file's classes; what a row lacks to 1 is the
            background. None where the file has none.
        support: (k,) boxes before suppression that overlap each box; None where the file has none.
    """

    labels: Sequence[str] = ()
    corners: np.ndarray = field(default_factory=lambda: np.zeros((0, 4)))
    scores: np.ndarray = field(default_factory=lambda: np.zeros(0))
    probabilities: np.ndarray | None = None
    support: np.ndarray | None = None


@dataclass(frozen=True)
class ImagePrediction:
    """What a model says about one image; a part that is None was not predicted.

    Attributes:
        name: the image's name or path, as the file has it. source: file and line, for messages.
        classes: what the columns of probabilities are.
        units: of all coordinates: ``FRACTIONS`` or ``PIXELS``. size: (width, height), where the file says it.
        probabilities: (classes,) of the image. shares: part of the pixels of each class.
        people: the joints of each person as (x, y, score) by name. masks: run lengths by class.
        signals: ready-made signals by name, numbers or lists.
    """

    name: str
    source: str = ""
    classes: Sequence[str] = ()
    units: str = PIXELS
    size: tuple[int, int] | None = None
    boxes: Boxes | None = None
    probabilities: np.ndarray | None = None
    people: Sequence[Mapping[str, tuple[float, float, float]]] | None = None
    masks: Mapping[str, Mask] | None = None
    shares: Mapping[str, float] | None = None
    embedding: np.ndarray | None = None
    signals: Mapping[str, np.ndarray] = field(default_factory=dict)

    @property
    def keys(self) -> frozenset[str]:
        """The keys of a predictions file that this record has."""
        parts = {
            "boxes": self.boxes,
            "box_probabilities": self.boxes and self.boxes.probabilities,
            "support": self.boxes and self.boxes.support,
            "probabilities": self.probabilities,
            "keypoints": self.people,
            "masks": self.masks,
            "shares": self.shares,
            "embedding": self.embedding,
        }
        ready = {f"signals.{name}" for name in self.signals}
        return frozenset({key for key, part in parts.items() if part is not None} | ready)


@dataclass(frozen=True)
class Problem:
    """A line or file of predictions that cannot be used.

    Attributes:
        source: file and line. name: of the image, where it is known.
    """

    source: str
    what: str
    name: str = ""

    def in_words(self) -> str:
        """``preds.jsonl, line 7 (cat.jpg): score 1.3 is not in [0, 1]``."""
        return f"{self.source}{f' ({self.name})' if self.name else ''}: {self.what}"


@dataclass(frozen=True)
class Rules:
    """What the reader knows about the project.

    Attributes:
        classes: in the order of the project; the file's own order comes first. joints: whether they name joints.
        several_labels: the probabilities of an image are independent and need not sum to 1.
    """

    classes: Sequence[str] = ()
    several_labels: bool = False
    joints: bool = False


def to_annotation(prediction: ImagePrediction, item_id: str, classes: Sequence[str], subject: str) -> Annotation:
    """Convert a prediction to what the model would annotate; boxes of other classes are left out.

    Args:
        classes: of the project; the labels of an image come in the order of their probabilities.
        subject: the class of people with joints.
    """
    labels, scores = _labels(prediction, classes)
    return Annotation(
        item_id,
        _boxes(prediction.boxes, classes) if prediction.boxes else (),
        prediction.size,
        labels,
        _poses(prediction, classes, subject),
        masks=tuple(mask for name, mask in (prediction.masks or {}).items() if name in classes),
        label_scores=scores,
        relative=prediction.units == FRACTIONS,
    )


def in_order(values: np.ndarray, names: Sequence[str], classes: Sequence[str]) -> np.ndarray:
    """Reorder the last axis from ``names`` to ``classes``; classes without a name get 0."""
    if list(names) == list(classes):
        return values
    index = {name: column for column, name in enumerate(names)}
    columns = [index.get(name, -1) for name in classes]
    padded = np.concatenate([values, np.zeros((*values.shape[:-1], 1))], axis=-1)
    return np.asarray(padded[..., columns])


def _labels(prediction: ImagePrediction, classes: Sequence[str]) -> tuple[tuple[str, ...], tuple[float, ...]]:
    if prediction.probabilities is None:
        return (), ()
    values = in_order(prediction.probabilities, prediction.classes, classes)
    order = np.argsort(-values, kind="stable").tolist()
    return tuple(classes[index] for index in order), tuple(float(values[index]) for index in order)


def _boxes(boxes: Boxes, classes: Sequence[str]) -> tuple[Box, ...]:
    triples = zip(boxes.labels, boxes.corners.tolist(), boxes.scores.tolist(), strict=True)
    kept = [
        Box(label, x1, y1, x2, y2, score)
        for label, (x1, y1, x2, y2), score in triples
        if label in classes and x1 < x2 and y1 < y2
    ]
    return tuple(sorted(kept, key=lambda box: -(box.score or 0)))


def _poses(prediction: ImagePrediction, classes: Sequence[str], subject: str) -> tuple[Pose, ...]:
    people = []
    for person in prediction.people or ():
        joints = tuple(Keypoint(name, x, y, score=score) for name, (x, y, score) in person.items() if name in classes)
        if joints:
            people.append(Pose(subject, joints))
    return tuple(people)
