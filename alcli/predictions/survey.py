"""What a stream of predictions holds in all: images, keys, classes, what cannot be used, and what fits no image."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from alcli.errors import DataError
from alcli.formats import ImageNames
from alcli.items import Item
from alcli.predictions import PIXELS, ImagePrediction, Problem, Rules
from alcli.system.text import quantity, similar_names

MOST_NAMED = 3
MOST_KEPT = 1000
"""Problems that are kept; more are counted."""


class PoolNames:
    """Finds the item that a name in a predictions file means: by its path, or as leniently as annotations are."""

    def __init__(self, items: Iterable[Item]) -> None:
        self._ids = {_path(item): item.id for item in items}

    @cached_property
    def _lenient(self) -> ImageNames:
        return ImageNames(sorted(self._ids), suffixes=True)

    @property
    def example(self) -> str:
        """The path of one image; empty without images."""
        return next(iter(self._ids), "")

    def find(self, name: str) -> list[str]:
        """The ids of the items that the name may mean: none, one, or several when it is ambiguous."""
        if name in self._ids:
            return [self._ids[name]]
        return [self._ids[path] for path in self._lenient.match([name]).images] if self._ids else []


@dataclass
class Survey:
    """Counts that grow with each prediction.

    Attributes:
        images: predictions that can be used. keys: how many of them have each key. labels: objects of each class.
        columns: all classes that probabilities were given for.
        problems: the first of those that cannot be used; ``broken`` is their number.
        tiny: pixel coordinates of images that all lie in [0, 1].
    """

    images: int = 0
    keys: Counter[str] = field(default_factory=Counter)
    labels: Counter[str] = field(default_factory=Counter)
    columns: dict[str, None] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    broken: int = 0
    tiny: int = 0
    embedding_width: int = 0
    _seen: dict[str, str] = field(default_factory=dict)

    def add(self, entry: ImagePrediction | Problem, key: str | None = None) -> bool:
        """Count one entry; whether it can be used.

        Args:
            key: what it is a prediction of, the item's id; by default its name.
        """
        if isinstance(entry, Problem):
            self._refuse(entry)
            return False
        key = entry.name if key is None else key
        if key in self._seen:
            what = f"a second prediction for one image; the first is {self._seen[key]}"
            self._refuse(Problem(entry.source, what, entry.name))
            return False
        if entry.embedding is not None and not self._same_width(entry):
            return False
        self._seen[key] = entry.source
        self.images += 1
        self.keys.update(entry.keys)
        if entry.boxes is not None and len(entry.boxes.labels):
            self.labels.update(entry.boxes.labels)
            self.tiny += entry.units == PIXELS and float(entry.boxes.corners.max()) <= 1
        if entry.probabilities is not None and next(reversed(self.columns), None) != entry.classes[-1]:
            self.columns.update(dict.fromkeys(entry.classes))
        if entry.people:
            self.labels.update(name for person in entry.people for name in person)
        self.labels.update((entry.masks or {}).keys() | (entry.shares or {}).keys())
        return True

    def __contains__(self, key: str) -> bool:
        return key in self._seen

    @property
    def classes(self) -> list[str]:
        """Every class that occurs: those of probabilities in their order, then the others by name."""
        return [*self.columns, *sorted(self.labels.keys() - self.columns.keys())]

    @property
    def complete_keys(self) -> frozenset[str]:
        """The keys that every image has."""
        return frozenset(key for key, count in self.keys.items() if count == self.images)

    def check(self, source: str) -> None:
        """Raise DataError if anything cannot be used, or nothing is left."""
        advice = "`alcli check-predictions FILE` lists all that is wrong with it."
        kept = "No list was made; the annotators' queue is unchanged."
        if self.broken:
            more = f" So {'is' if self.broken == 2 else 'are'} {self.broken - 1} more." if self.broken > 1 else ""
            raise DataError(f"{self.problems[0].in_words()}.{more}", kept=kept, do=f"Correct the file. {advice}")
        if not self.images:
            raise DataError(f"{source} holds no prediction for any image.", kept=kept, do=advice)
        if self.tiny and self.tiny == self.keys["boxes"]:
            raise DataError(
                f"All boxes in {source} lie within one pixel: they are fractions of the image, not pixels.",
                kept=kept,
                do='Begin the file with {"alcli_predictions": 1, "units": "fractions"}',
            )

    def _refuse(self, problem: Problem) -> None:
        self.broken += 1
        if len(self.problems) < MOST_KEPT:
            self.problems.append(problem)

    def _same_width(self, entry: ImagePrediction) -> bool:
        assert entry.embedding is not None
        self.embedding_width = self.embedding_width or len(entry.embedding)
        if len(entry.embedding) == self.embedding_width:
            return True
        what = f"an embedding of {len(entry.embedding)} numbers; those before have {self.embedding_width}"
        self._refuse(Problem(entry.source, what, entry.name))
        return False


def foreign_classes(survey: Survey, rules: Rules) -> list[str]:
    """A sentence for each of the commonest predicted classes that the project does not have, with the nearest names.

    Raises:
        DataError: the project has none of the predicted classes.
    """
    foreign = [name for name in survey.classes if name not in rules.classes] if rules.classes else []
    if not foreign:
        return []
    noun = "joint" if rules.joints else "class"
    known = ", ".join(rules.classes)
    if len(foreign) == len(survey.classes):
        raise DataError(
            f"The predictions are of other classes: {', '.join(foreign[:10])}. The project has {known}.",
            kept="No list was made; the annotators' queue is unchanged.",
            do=f"Rename them in the file, or set task.classes.{_suggest(foreign[0], rules.classes)}",
        )
    sentences = []
    for name in sorted(foreign, key=lambda name: -survey.labels[name])[:MOST_NAMED]:
        count = f"{quantity(survey.labels[name], 'object')} of " if survey.labels[name] else ""
        sentences.append(f"Left out: {count}{name!r}, no {noun} of the project.{_suggest(name, rules.classes)}")
    if len(foreign) > MOST_NAMED:
        sentences.append(f"Left out as well: {len(foreign) - MOST_NAMED} more classes. The project has {known}.")
    return sentences


def names_in_words(names: Sequence[str], count: int) -> str:
    """``a.jpg, b.jpg, c.jpg and 7 more``."""
    shown = ", ".join(names[:MOST_NAMED])
    return f"{shown} and {count - MOST_NAMED} more" if count > MOST_NAMED else shown


def outside(prediction: ImagePrediction, size: tuple[int, int], reach: float) -> np.ndarray:
    """(k,) bool: boxes that reach further than ``reach`` pixels out of an image of this (width, height)."""
    if prediction.boxes is None or not len(prediction.boxes.corners):
        return np.zeros(0, dtype=bool)
    scale = np.array(size * 2 if prediction.units != PIXELS else (1, 1, 1, 1), dtype=np.float64)
    corners = prediction.boxes.corners * scale
    limits = np.array(size, dtype=np.float64)
    return np.asarray((corners[:, :2] < -reach).any(axis=1) | (corners[:, 2:] > limits + reach).any(axis=1))


def _suggest(name: str, classes: Sequence[str]) -> str:
    near = similar_names(name, classes)
    return f" Did you mean {' or '.join(near)}?" if near else ""


def _path(item: Item) -> str:
    return f"{item.folder}/{item.name}" if item.folder else item.name
