"""The plain values that travel between platform, model and list: frozen, and checked at birth."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from alcli.errors import DataError

LABELED = "labeled"
UNLABELED = "unlabeled"
SKIPPED = "skipped"
QUARANTINED = "quarantined"
STATES = (LABELED, UNLABELED, SKIPPED, QUARANTINED)


@dataclass(frozen=True)
class Item:
    """One image a person can annotate.

    Attributes:
        id: what the platform knows it by; unique in the project, valid UTF-8.
        name: what people know it by; unique in its folder.
        uri: where its pixels are (``file:`` or ``https:``).
        folder: the platform's folder, "" for the root.
        state: labeled, unlabeled or skipped, as the platform says now.
        version: changes whenever the pixels, the state or the annotation change; compared, never parsed.
    """

    id: str
    name: str
    uri: str
    folder: str = ""
    state: str = UNLABELED
    version: str = ""

    def __post_init__(self) -> None:
        if not self.id or not self.name:
            raise DataError(f"An item needs an id and a name, got id={self.id!r} name={self.name!r}.")
        if self.state not in STATES:
            raise DataError(f"{self.name!r}: unknown state {self.state!r}; allowed: {', '.join(STATES)}.")


@dataclass(frozen=True)
class Refusal:
    """Something that cannot be used, and why: an image, or an annotation without one."""

    id: str
    name: str
    reason: str
    version: str = ""


@dataclass(frozen=True)
class ImageFacts:
    """What an image file was found to be: the hash of its bytes, and its upright size in pixels."""

    sha256: str
    width: int
    height: int


@dataclass(frozen=True)
class Box:
    """One object: corners in pixels of the upright image, origin top left, x1 < x2 and y1 < y2.

    Raises:
        DataError: a corner is not finite, corners are swapped, or the area is zero.
    """

    label: str
    x1: float
    y1: float
    x2: float
    y2: float
    score: float | None = None

    def __post_init__(self) -> None:
        corners = (self.x1, self.y1, self.x2, self.y2)
        shown = "({:g}, {:g}, {:g}, {:g})".format(*corners)
        if not all(math.isfinite(value) for value in corners):
            raise DataError(f"box {shown} of class {self.label!r} is not finite")
        if self.x1 > self.x2 or self.y1 > self.y2:
            raise DataError(f"box {shown} of class {self.label!r} has swapped corners")
        if self.x1 == self.x2 or self.y1 == self.y2:
            raise DataError(f"box {shown} of class {self.label!r} has zero area")


@dataclass(frozen=True)
class Annotation:
    """What a person (or a model) said about one item, in pixels, classes by name.

    Attributes:
        boxes: the objects; empty means "looked at, nothing there".
        size: (width, height) the annotator saw, None if the format does not say.
    """

    item_id: str
    boxes: tuple[Box, ...] = ()
    size: tuple[int, int] | None = None

    def to_json(self) -> str:
        """One line of JSON that ``from_json`` reads back, key order fixed."""
        content = asdict(self)
        del content["item_id"]
        return json.dumps(content, sort_keys=True)

    @classmethod
    def from_json(cls, item_id: str, text: str) -> Annotation:
        """The annotation that ``to_json`` wrote."""
        content: dict[str, Any] = json.loads(text)
        boxes = tuple(Box(**box) for box in content["boxes"])
        size = tuple(content["size"]) if content["size"] else None
        return cls(item_id, boxes, size)

    def class_names(self) -> set[str]:
        """The classes that occur."""
        return {box.label for box in self.boxes}


@dataclass(frozen=True)
class Pool:
    """The items of one project, each labeled, unlabeled, skipped or quarantined."""

    items: Mapping[str, Item]
    quarantined: frozenset[str] = frozenset()

    def in_state(self, state: str) -> list[Item]:
        """Items of one state in the order of their ids."""
        return [item for _, item in sorted(self.items.items()) if self.state(item) == state]

    def state(self, item: Item) -> str:
        """The state after quarantine has been taken into account."""
        return QUARANTINED if item.id in self.quarantined else item.state

    def counts(self) -> dict[str, int]:
        """Number of items per state, every state named."""
        counts = dict.fromkeys(STATES, 0)
        for item in self.items.values():
            counts[self.state(item)] += 1
        return counts


@dataclass(frozen=True)
class QueryRow:
    """One line of the priority list.

    Attributes:
        rank: 1 is asked for first; no ties.
        score: the acquisition score, finite, higher = annotate sooner; only its order means anything.
        asked: whether the row lies inside this cycle's budget.
    """

    rank: int
    item: Item
    score: float
    asked: bool
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class QueuedItem:
    """One place in the platform's queue, as annotators will be given it."""

    position: int
    name: str
    item_id: str
    asked: bool | None = None


@dataclass(frozen=True)
class Receipt:
    """What the platform did with one row: ``accepted``, or why not."""

    item_id: str
    position: int
    accepted: bool
    reason: str = ""


def class_counts(annotations: Iterable[Annotation]) -> dict[str, int]:
    """How many objects of each class, classes in alphabetical order."""
    counts: dict[str, int] = {}
    for annotation in annotations:
        for box in annotation.boxes:
            counts[box.label] = counts.get(box.label, 0) + 1
    return dict(sorted(counts.items()))
