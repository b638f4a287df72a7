"""Annotations and predictions for one image: labels, boxes, poses, polygons, masks; frozen, validated."""

from __future__ import annotations

import itertools
import json
import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from alcli.errors import DataError
from alcli.system.text import is_text

if TYPE_CHECKING:
    import numpy as np

IGNORED = ""
"""The label of pixels that are excluded from training and evaluation."""
LONGEST_RUN = 2**32
CROWD = "crowd region"
"""The kind of region that covers many objects without separating them."""


@dataclass(frozen=True)
class Box:
    """One object: corners in pixels of the upright image, origin at the top left, x1 < x2 and y1 < y2.

    Raises:
        DataError: a corner or the score is not finite, the corners are swapped, or the area is zero.
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
            raise DataError(f"box {shown} of class {self.label!r} has a score that is not finite")
        if self.x1 > self.x2 or self.y1 > self.y2:
            raise DataError(f"box {shown} of class {self.label!r} has swapped corners")
        if self.x1 == self.x2 or self.y1 == self.y2:
            raise DataError(f"box {shown} of class {self.label!r} has zero area")


@dataclass(frozen=True)
class Keypoint:
    """One joint that the annotator marked; unmarked joints are absent.

    Attributes:
        visible: False for an occluded joint.
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
        rings: outer rings, flat x, y, x, y …; more than one if the object has several parts.
        holes: rings that are excluded.
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
    """The pixels of one class, in COCO's compressed run-length encoding.

    Attributes:
        label: the class; ``IGNORED`` for pixels that are excluded from training and evaluation.
        counts: compressed run lengths as pycocotools writes them, in ASCII, covering width × height pixels.
        size: (width, height) of the upright image.
        pixel_id: the value of these pixels in a mask file; with ``IGNORED``, a value that is not in the class list.

    Raises:
        DataError: the run lengths are invalid, or cover another number of pixels.
    """

    label: str
    counts: str
    size: tuple[int, int]
    pixel_id: int | None = None

    def __post_init__(self) -> None:
        # pycocotools does not check lengths: missing pixels would come from uninitialized memory.
        width, height = self.size
        try:
            covered = pixel_count(self.counts)
        except DataError as error:
            raise DataError(f"the mask of class {self.label!r} cannot be decoded: {error.what}") from None
        if covered != width * height:
            raise DataError(
                f"the mask of class {self.label!r} cannot be decoded: it covers {covered} pixels,"
                f" but {width}×{height} is {width * height}"
            )

    def pixels(self) -> np.ndarray:
        """(height, width) uint8 of 0 and 1."""
        # Imported here, so that counting objects does not need pycocotools.
        from pycocotools import mask as coco_mask

        width, height = self.size
        decoded: np.ndarray = coco_mask.decode({"size": [height, width], "counts": self.counts.encode("ascii")})
        return decoded


@dataclass(frozen=True)
class PassedOver:
    """Annotated objects of one kind that are not used.

    Attributes:
        kind: in the singular, such as ``crowd region``.
    """

    kind: str
    count: int = 1


@dataclass(frozen=True)
class Annotation:
    """The annotation or prediction for one item, in pixels of the upright image, classes by name.

    Each task reads its own part: labels for classification, boxes for detection, poses for pose estimation, polygons
    or masks for segmentation. An annotation with no parts means that the image is empty.

    Attributes:
        size: (width, height) of the image that was annotated, None if the format does not record it.
        label_scores: the model's probability of each label; empty for annotations by people.
        seconds: working time of the annotator; None if the platform does not record it.
        relative: coordinates are fractions of width and height instead of pixels, as in YOLO files.
        passed_over: objects that were annotated, but are not among the parts.
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
    passed_over: tuple[PassedOver, ...] = ()

    def __post_init__(self) -> None:
        joints = {joint.name for pose in self.poses for joint in pose.keypoints}
        for text in self.class_names() | joints:
            if not text.isascii() and not is_text(text):
                raise DataError(f"the name {text!r} is not valid text")

    def to_json(self) -> str:
        """One line of JSON for ``from_json``, with sorted keys and without empty parts."""
        content = {key: value for key, value in asdict(self).items() if value and key != "item_id"}
        return json.dumps(content, sort_keys=True)

    @classmethod
    def from_json(cls, item_id: str, text: str) -> Annotation:
        """Parse an annotation written by ``to_json``; raises DataError for any other text."""
        try:
            return _annotation(item_id, json.loads(text))
        except (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, RecursionError) as error:
            raise DataError(f"The stored annotation of {item_id!r} is invalid: {error}.") from None

    def in_pixels(self, width: int, height: int) -> Annotation:
        """Convert relative coordinates to pixels of an upright image of that size."""
        if not self.relative:
            return self
        return replace(
            self,
            boxes=tuple(_scale_box(box, width, height) for box in self.boxes),
            poses=tuple(_scale_pose(pose, width, height) for pose in self.poses),
            polygons=tuple(_scale_polygon(polygon, width, height) for polygon in self.polygons),
            relative=False,
        )

    def confident(self, least: float) -> Annotation:
        """Keep only labels, boxes and joints with at least this score; parts without a score are kept."""
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

    def without_unlikely_objects(self, least: float) -> Annotation:
        """Drop low-confidence boxes and joints; a label always stays, however unlikely."""
        return self if self.labels else self.confident(least)

    @property
    def is_empty(self) -> bool:
        """Whether no object is left; regions that are only excluded are no objects."""
        regions = [mask for mask in self.masks if mask.label != IGNORED or mask.pixel_id is not None]
        polygons = [polygon for polygon in self.polygons if polygon.label != IGNORED]
        return not (self.labels or self.boxes or self.poses or polygons or regions)

    def class_names(self) -> set[str]:
        """The classes in this annotation, without ``IGNORED``."""
        parts = (self.boxes, self.poses, self.polygons, self.masks)
        return ({part.label for group in parts for part in group} | set(self.labels)) - {IGNORED}


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
        tuple(PassedOver(**group) for group in content.get("passed_over", ())),
    )


def _sure(part: Box | Keypoint, least: float) -> bool:
    return part.score is None or part.score >= least


def _scale_box(box: Box, width: int, height: int) -> Box:
    return replace(box, x1=box.x1 * width, y1=box.y1 * height, x2=box.x2 * width, y2=box.y2 * height)


def _scale_pose(pose: Pose, width: int, height: int) -> Pose:
    joints = tuple(replace(joint, x=joint.x * width, y=joint.y * height) for joint in pose.keypoints)
    return replace(pose, keypoints=joints, box=_scale_box(pose.box, width, height) if pose.box else None)


def _scale_polygon(polygon: Polygon, width: int, height: int) -> Polygon:
    def scale(ring: tuple[float, ...]) -> tuple[float, ...]:
        return tuple(value * (height if i % 2 else width) for i, value in enumerate(ring))  # x, y, x, y …

    return replace(polygon, rings=tuple(map(scale, polygon.rings)), holes=tuple(map(scale, polygon.holes)))


def _pose(content: dict[str, Any]) -> Pose:
    keypoints = tuple(Keypoint(**keypoint) for keypoint in content["keypoints"])
    return Pose(content["label"], keypoints, Box(**content["box"]) if content["box"] else None)


def _polygon(content: dict[str, Any]) -> Polygon:
    rings, holes = (tuple(tuple(ring) for ring in content[part]) for part in ("rings", "holes"))
    return Polygon(content["label"], rings, holes)


def sum_by_kind(groups: Iterable[PassedOver]) -> tuple[PassedOver, ...]:
    """Add up what was passed over, the most frequent kind first."""
    counts: Counter[str] = Counter()
    for group in groups:
        counts[group.kind] += group.count
    ordered = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    return tuple(PassedOver(kind, count) for kind, count in ordered)


def passed_over_in_words(groups: Iterable[PassedOver]) -> str:
    """Describe what was passed over: ``4 crowd regions, 1 point``."""
    return ", ".join(f"{group.count} {group.kind}{'' if group.count == 1 else 's'}" for group in groups)


def object_counts(annotations: Iterable[Annotation], joints: bool = True) -> Counter[str]:
    """Count labels and objects by class name; an object with a box and an outline is one.

    Args:
        joints: whether the joints of poses are counted, by joint name.
    """
    counts: Counter[str] = Counter()
    for annotation in annotations:
        counts.update(annotation.labels)
        boxes = Counter(box.label for box in annotation.boxes)
        outlines = Counter(polygon.label for polygon in annotation.polygons)
        outlines.update(mask.label for mask in annotation.masks)
        counts.update(boxes | outlines)
        if joints:
            counts.update(joint.name for pose in annotation.poses for joint in pose.keypoints)
    counts.pop(IGNORED, None)
    return counts


def image_counts(annotations: Iterable[Annotation], joints: bool = True) -> Counter[str]:
    """Count the images that each class is in; ``joints`` as in ``object_counts``."""
    counts: Counter[str] = Counter()
    for annotation in annotations:
        counts.update(object_counts([annotation], joints).keys())
    return counts


def in_words(annotation: Annotation) -> str:
    """Describe an annotation: ``3 × RBC, 1 × WBC``; ``cat 62 %``; ``12 joints of 1 person``; ``60 % road``."""
    if annotation.labels:
        scores = [f" {100 * score:.0f} %" for score in annotation.label_scores] or [""] * len(annotation.labels)
        return ", ".join(f"{label}{score}" for label, score in zip(annotation.labels[:3], scores, strict=False))
    if annotation.poses:
        joints = sum(len(pose.keypoints) for pose in annotation.poses)
        people = len(annotation.poses)
        return f"{joints} joints of {people} {annotation.poses[0].label if people == 1 else 'people'}"
    if annotation.masks:
        masks = [mask for mask in annotation.masks if mask.label != IGNORED]
        areas = sorted(((float(mask.pixels().mean()), mask.label) for mask in masks), reverse=True)
        return ", ".join(f"{100 * area:.0f} % {label}" for area, label in areas[:4])
    counts = object_counts([annotation]).most_common()
    return ", ".join(f"{count} × {name}" for name, count in counts) or "nothing"


def pixel_count(counts: str) -> int:
    """Number of pixels that compressed run lengths cover; raises DataError for any other text."""
    runs: list[int] = []
    value = shift = 0
    for character in counts:
        digit = ord(character) - 48
        if not 0 <= digit < 64 or shift > 35:
            raise DataError("its run lengths are invalid")
        value |= (digit & 31) << shift
        shift += 5
        if digit & 32:
            continue
        if digit & 16:
            value -= 1 << shift
        # From the fourth run on, each is stored as the difference from the run before the previous one.
        value += runs[-2] if len(runs) > 2 else 0
        if not 0 <= value < LONGEST_RUN:
            raise DataError("its run lengths are invalid")
        runs.append(value)
        value = shift = 0
    if shift:
        raise DataError("its run lengths are truncated")
    return sum(runs)
