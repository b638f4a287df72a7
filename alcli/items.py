"""The plain values that travel between platform, model and list: frozen, and checked at birth."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from alcli.errors import DataError

LABELED = "labeled"
UNLABELED = "unlabeled"
SKIPPED = "skipped"
QUARANTINED = "quarantined"
AL, RANDOM, RECHECK = "al", "random", "recheck"
"""The arms of a list: what the strategy asked for, what chance did, and annotations to look at again."""
STATES = (LABELED, UNLABELED, SKIPPED, QUARANTINED)
MOST_PIXELS = 100_000_000
"""Of an image or a mask; what claims more is refused before it fills the memory."""


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
        assignees: who has it on the desk, comma-separated; "" for nobody.
    """

    id: str
    name: str
    uri: str
    folder: str = ""
    state: str = UNLABELED
    version: str = ""
    assignees: str = ""

    def __post_init__(self) -> None:
        if not self.id or not self.name:
            raise DataError(f"An item needs an id and a name, got id={self.id!r} name={self.name!r}.")
        for text in (self.id, self.name, self.uri, self.folder, self.version, self.assignees):
            if not text.isascii() and not is_text(text):
                raise DataError(f"An item cannot keep {text!r}, which is no valid text.")
        if self.state not in STATES:
            raise DataError(f"{self.name!r}: unknown state {self.state!r}; allowed: {', '.join(STATES)}.")


def is_text(text: str) -> bool:
    """Whether the text can be written down: half of a surrogate pair, as JSON can hold it, cannot."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


@dataclass(frozen=True)
class Refusal:
    """Something that cannot be used, and why: an image, or an annotation without one.

    Attributes:
        passing: it may be usable at the next try (a disk not mounted): reported each time, never remembered.
    """

    id: str
    name: str
    reason: str
    version: str = ""
    passing: bool = False

    def __post_init__(self) -> None:
        # It may quote what was refused for being no text, and must be written down all the same.
        for key in ("id", "name", "reason"):
            text = getattr(self, key)
            if not is_text(text):
                object.__setattr__(self, key, text.encode("utf-8", "backslashreplace").decode("utf-8"))


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
        DataError: a corner or the score is not finite, corners are swapped, or the area is zero.
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
        if self.score is not None and not math.isfinite(self.score):
            raise DataError(f"box {shown} of class {self.label!r} has a score that is no number")
        if self.x1 > self.x2 or self.y1 > self.y2:
            raise DataError(f"box {shown} of class {self.label!r} has swapped corners")
        if self.x1 == self.x2 or self.y1 == self.y2:
            raise DataError(f"box {shown} of class {self.label!r} has zero area")


@dataclass(frozen=True)
class Keypoint:
    """One joint that the annotator marked; joints that were not marked are simply absent.

    Attributes:
        visible: False when it was placed although something covers it.
    """

    name: str
    x: float
    y: float
    visible: bool = True
    score: float | None = None

    def __post_init__(self) -> None:
        if not (math.isfinite(self.x) and math.isfinite(self.y)):
            raise DataError(f"keypoint {self.name!r} is not finite")


@dataclass(frozen=True)
class Pose:
    """One person (or other jointed thing) with at least one marked joint, in pixels of the upright image."""

    label: str
    keypoints: tuple[Keypoint, ...]
    box: Box | None = None

    def __post_init__(self) -> None:
        if not self.keypoints:
            raise DataError(f"{self.label!r} has no marked joint")
        names = [keypoint.name for keypoint in self.keypoints]
        if len(set(names)) != len(names):
            raise DataError(f"{self.label!r} has a joint twice: {', '.join(names)}")


@dataclass(frozen=True)
class Polygon:
    """One region outlined by hand, in pixels of the upright image.

    Attributes:
        rings: outer rings, flat x, y, x, y …; several when the object is cut in parts.
        holes: rings that are taken out again.
    """

    label: str
    rings: tuple[tuple[float, ...], ...]
    holes: tuple[tuple[float, ...], ...] = ()

    def __post_init__(self) -> None:
        if not self.rings:
            raise DataError(f"polygon of class {self.label!r} has no points")
        for ring in (*self.rings, *self.holes):
            if len(ring) < 6 or len(ring) % 2:
                raise DataError(f"polygon of class {self.label!r} has {len(ring) / 2:g} points, at least 3 are needed")
            if not all(math.isfinite(value) for value in ring):
                raise DataError(f"polygon of class {self.label!r} is not finite")


@dataclass(frozen=True)
class Mask:
    """The pixels of one class, as COCO's compressed run-length code.

    Attributes:
        label: the class; ``IGNORED`` marks pixels that neither train nor count.
        counts: compressed run lengths as pycocotools writes them, ASCII.
        size: (width, height) of the upright image.
        pixel_id: the number these pixels have in a mask file; with ``IGNORED`` one that the class list does not name.
    """

    label: str
    counts: str
    size: tuple[int, int]
    pixel_id: int | None = None


IGNORED = ""


@dataclass(frozen=True)
class Annotation:
    """What a person (or a model) said about one item, in pixels of the upright image, classes by name.

    A task reads its own part: labels for classification, boxes for detection, poses, and polygons or masks for
    segmentation. All parts empty means "looked at, nothing there".

    Attributes:
        size: (width, height) the annotator saw, None if the format does not say.
        label_scores: the model's probability of each label, empty when a person said it.
        seconds: how long a person worked on it; None where the platform does not tell.
        relative: coordinates are shares of width and height instead of pixels, as in YOLO's files.
    """

    item_id: str
    boxes: tuple[Box, ...] = ()
    size: tuple[int, int] | None = None
    labels: tuple[str, ...] = ()
    poses: tuple[Pose, ...] = ()
    polygons: tuple[Polygon, ...] = ()
    masks: tuple[Mask, ...] = ()
    label_scores: tuple[float, ...] = ()
    relative: bool = False
    seconds: float | None = None

    def __post_init__(self) -> None:
        joints = {joint.name for pose in self.poses for joint in pose.keypoints}
        for text in self.class_names() | joints:
            if not text.isascii() and not is_text(text):
                raise DataError(f"the name {text!r} is no valid text")

    def to_json(self) -> str:
        """One line of JSON that ``from_json`` reads back, key order fixed, empty parts left out."""
        content = {key: value for key, value in asdict(self).items() if value and key != "item_id"}
        return json.dumps(content, sort_keys=True)

    @classmethod
    def from_json(cls, item_id: str, text: str) -> Annotation:
        """The annotation that ``to_json`` wrote; raises DataError for any other text."""
        try:
            return _annotation(item_id, json.loads(text))
        except (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, RecursionError) as error:
            raise DataError(f"The annotation of {item_id!r} is not what was written: {error}.") from None

    def in_pixels(self, width: int, height: int) -> Annotation:
        """The same in pixels of an upright image of that size."""
        if not self.relative:
            return self
        return replace(
            self,
            boxes=tuple(_scaled_box(box, width, height) for box in self.boxes),
            poses=tuple(_scaled_pose(pose, width, height) for pose in self.poses),
            polygons=tuple(_scaled_polygon(polygon, width, height) for polygon in self.polygons),
            relative=False,
        )

    def confident(self, least: float) -> Annotation:
        """Only the labels, boxes and joints with at least that score; what has no score stays."""
        labels = [
            pair
            for pair in itertools.zip_longest(self.labels, self.label_scores)
            if pair[1] is None or pair[1] >= least
        ]
        kept = ((pose, tuple(joint for joint in pose.keypoints if _sure(joint, least))) for pose in self.poses)
        return replace(
            self,
            labels=tuple(label for label, _ in labels),
            label_scores=tuple(score for _, score in labels if score is not None),
            boxes=tuple(box for box in self.boxes if _sure(box, least)),
            poses=tuple(replace(pose, keypoints=joints) for pose, joints in kept if joints),
        )

    def class_names(self) -> set[str]:
        """The classes that occur."""
        parts = (self.boxes, self.poses, self.polygons, self.masks)
        found = {part.label for group in parts for part in group} | set(self.labels)
        return found - {IGNORED}


def _annotation(item_id: str, content: dict[str, Any]) -> Annotation:
    size = content.get("size")
    return Annotation(
        item_id,
        tuple(Box(**box) for box in content.get("boxes", ())),
        (size[0], size[1]) if size else None,
        tuple(content.get("labels", ())),
        tuple(_pose(pose) for pose in content.get("poses", ())),
        tuple(_polygon(polygon) for polygon in content.get("polygons", ())),
        tuple(Mask(**{**mask, "size": tuple(mask["size"])}) for mask in content.get("masks", ())),
        tuple(content.get("label_scores", ())),
        content.get("relative", False),
        content.get("seconds"),
    )


def _sure(part: Box | Keypoint, least: float) -> bool:
    return part.score is None or part.score >= least


def _scaled_box(box: Box, width: int, height: int) -> Box:
    return replace(box, x1=box.x1 * width, y1=box.y1 * height, x2=box.x2 * width, y2=box.y2 * height)


def _scaled_pose(pose: Pose, width: int, height: int) -> Pose:
    joints = tuple(replace(joint, x=joint.x * width, y=joint.y * height) for joint in pose.keypoints)
    return replace(pose, keypoints=joints, box=_scaled_box(pose.box, width, height) if pose.box else None)


def _scaled_polygon(polygon: Polygon, width: int, height: int) -> Polygon:
    def scaled(ring: tuple[float, ...]) -> tuple[float, ...]:
        return tuple(value * (height if place % 2 else width) for place, value in enumerate(ring))

    return replace(polygon, rings=tuple(map(scaled, polygon.rings)), holes=tuple(map(scaled, polygon.holes)))


def _pose(content: dict[str, Any]) -> Pose:
    keypoints = tuple(Keypoint(**keypoint) for keypoint in content["keypoints"])
    return Pose(content["label"], keypoints, Box(**content["box"]) if content["box"] else None)


def _polygon(content: dict[str, Any]) -> Polygon:
    rings, holes = (tuple(tuple(ring) for ring in content[part]) for part in ("rings", "holes"))
    return Polygon(content["label"], rings, holes)


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
        arm: who put it there: the strategy, chance, or the audit of annotations (the item is annotated already).
    """

    rank: int
    item: Item
    score: float
    asked: bool
    details: Mapping[str, Any] = field(default_factory=dict)
    arm: str = AL


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
