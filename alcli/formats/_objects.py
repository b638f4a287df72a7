"""Collect the objects of one image: the only place that decides which of them a task uses, and as what."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from pycocotools import mask as coco_mask

from alcli.annotations import Annotation, Box, Keypoint, Mask, PassedOver, Polygon, Pose, sum_by_kind
from alcli.errors import DataError
from alcli.formats import Purpose

Shape = Polygon | Mask | Pose
Size = tuple[int, int]
WITHOUT_BOXES = frozenset({"", "classification", "pose", "segmentation"})
"""Tasks for which shapes give no box; a task of another package may be a detector."""
ELLIPSE_CORNERS = 36
LINE = "line "
"""The joints of a line are named by this and their number."""


class Objects:
    """The objects of one image.

    For detection, every object without a box gives the bounding box of its shape, cut at the border of the image:
    otherwise it would be taught as background. What has no area is passed over and counted.

    Args:
        purpose: what the annotation is read for.
        size: (width, height) of the image, with 0 or None where it is unknown; (1, 1) for relative coordinates.
    """

    def __init__(self, purpose: Purpose, size: Size | None = None) -> None:
        self._task = purpose.task
        self._size = size if size and all(size) else None
        self._boxes: list[Box] = []
        self._polygons: list[Polygon] = []
        self._masks: list[Mask] = []
        self._poses: list[Pose] = []
        self._labels: list[str] = []
        self._passed_over: list[PassedOver] = []
        self._without_outline = 0

    def add(self, *parts: Box | Shape | None) -> None:
        """Add one object with all its parts."""
        boxes = [part for part in parts if isinstance(part, Box)]
        shapes = [part for part in parts if part is not None and not isinstance(part, Box)]
        outlines = [shape for shape in shapes if not isinstance(shape, Pose)]
        if self._task not in WITHOUT_BOXES and shapes and not boxes:
            boxes = [box for shape in shapes if (box := hull(shape, self._size))][:1]
            if not boxes and self._task == "detection":
                self.pass_over(_kind(shapes[0]))
                return
        if self._task == "segmentation" and not outlines:
            if shapes:
                self.pass_over(_kind(shapes[0]))
                return
            self._without_outline += len(boxes)
        if self._task == "pose" and not any(isinstance(shape, Pose) and shape.keypoints for shape in shapes):
            self.pass_over("jointless region" if outlines and not boxes else "jointless object")
            return
        self._boxes += boxes
        self._polygons += [shape for shape in shapes if isinstance(shape, Polygon)]
        self._masks += [shape for shape in shapes if isinstance(shape, Mask)]
        self._poses += [shape for shape in shapes if isinstance(shape, Pose)]

    def add_region(self, region: Polygon | Mask) -> None:
        """Add a region that is no object."""
        self._polygons += [region] if isinstance(region, Polygon) else []
        self._masks += [region] if isinstance(region, Mask) else []

    def add_labels(self, labels: Iterable[str]) -> None:
        """Add classes of the whole image."""
        self._labels += labels

    def pass_over(self, kind: str) -> None:
        """Count an object that is not used."""
        self._passed_over.append(PassedOver(kind))

    def annotation(
        self, name: str, size: Size | None = None, relative: bool = False, seconds: float | None = None
    ) -> Annotation:
        """The annotation of these objects.

        Raises:
            DataError: for segmentation, some objects have outlines and others only boxes.
        """
        if self._without_outline and (self._polygons or self._masks):
            boxes = "1 box has" if self._without_outline == 1 else f"{self._without_outline} boxes have"
            raise DataError(f"{boxes} no outline: boxes cannot train pixels")
        return Annotation(
            name,
            tuple(self._boxes),
            size,
            tuple(dict.fromkeys(self._labels)),
            tuple(self._poses),
            tuple(self._polygons),
            tuple(self._masks),
            relative=relative,
            seconds=seconds,
            passed_over=sum_by_kind(self._passed_over),
        )


def hull(shape: Shape, size: Size | None = None) -> Box | None:
    """The bounding box of a shape, cut at the border of the image; None if no area is left."""
    if isinstance(shape, Mask):
        height_width = {"size": list(shape.size[::-1]), "counts": shape.counts.encode("ascii")}
        x, y, width, height = coco_mask.toBbox(height_width).tolist()
        xs, ys = [x, x + width], [y, y + height]
    elif isinstance(shape, Pose):
        xs, ys = [joint.x for joint in shape.keypoints], [joint.y for joint in shape.keypoints]
    else:
        xs = [x for ring in shape.rings for x in ring[::2]]
        ys = [y for ring in shape.rings for y in ring[1::2]]
    if size:
        xs, ys = [min(max(x, 0.0), size[0]) for x in xs], [min(max(y, 0.0), size[1]) for y in ys]
    if min(xs) >= max(xs) or min(ys) >= max(ys):
        return None
    return Box(shape.label, min(xs), min(ys), max(xs), max(ys))


def line(label: str, ring: Sequence[float]) -> Pose:
    """A line as a pose with numbered joints, because it has no area for a polygon.

    Args:
        ring: flat x, y, x, y …
    """
    pairs = zip(ring[::2], ring[1::2], strict=True)
    return Pose(label, tuple(Keypoint(f"{LINE}{number}", x, y) for number, (x, y) in enumerate(pairs, 1)))


def ellipse(label: str, center: tuple[float, float], radii: tuple[float, float], degrees: float) -> Polygon:
    """An ellipse as a polygon with corners on its outline."""
    angles = [2 * math.pi * corner / ELLIPSE_CORNERS for corner in range(ELLIPSE_CORNERS)]
    corners = [(center[0] + radii[0] * math.cos(t), center[1] + radii[1] * math.sin(t)) for t in angles]
    return Polygon(label, (turn(corners, center, degrees),))


def turned_box(label: str, corners: tuple[float, float, float, float], degrees: float) -> Polygon:
    """A box (x1, y1, x2, y2) turned around its center, as a polygon."""
    x1, y1, x2, y2 = corners
    center = ((x1 + x2) / 2, (y1 + y2) / 2)
    return Polygon(label, (turn([(x1, y1), (x2, y1), (x2, y2), (x1, y2)], center, degrees),))


def turn(points: Iterable[tuple[float, float]], center: tuple[float, float], degrees: float) -> tuple[float, ...]:
    """The points turned around a center, as a flat ring; positive angles turn clockwise, since y grows downwards.

    Raises:
        DataError: the angle is not finite.
    """
    if not math.isfinite(degrees):
        raise DataError("the angle is not finite")
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    ring: list[float] = []
    for x, y in points:
        dx, dy = x - center[0], y - center[1]
        ring += (center[0] + dx * cos - dy * sin, center[1] + dx * sin + dy * cos)
    return tuple(ring)


def _kind(shape: Shape) -> str:
    if isinstance(shape, Pose):
        return "point" if len(shape.keypoints) == 1 else "line"
    return "empty region"
