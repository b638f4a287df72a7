"""Annotation costs in boxes, joints, pixels or labels, because some strategies prefer crowded images."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pycocotools import mask as run_lengths

from alcli.annotations import Annotation, Polygon

_UNITS: dict[str, Callable[[Annotation], int]] = {
    "boxes": lambda annotation: len(annotation.boxes),
    "joints": lambda annotation: sum(len(pose.keypoints) for pose in annotation.poses),
    "pixels": lambda annotation: _pixels(annotation),
    "labels": lambda annotation: len(annotation.labels),
}


def unit_of(task: Any) -> str:
    """The unit of annotation costs in this task: its ``unit``, or images."""
    return str(getattr(task, "unit", "images"))


def cost_of(annotation: Annotation, unit: str) -> int:
    """The number of units in an annotation."""
    return _UNITS[unit](annotation) if unit in _UNITS else 1


def _pixels(annotation: Annotation) -> int:
    masks = sum(
        int(run_lengths.area({"size": [mask.size[1], mask.size[0]], "counts": mask.counts}))
        for mask in annotation.masks
        if mask.label
    )
    return masks + round(sum(_area(polygon) for polygon in annotation.polygons))


def _area(polygon: Polygon) -> float:
    """Area by the shoelace formula, minus the holes."""
    outer = sum(map(_ring_area, polygon.rings))
    return max(outer - sum(map(_ring_area, polygon.holes)), 0.0)


def _ring_area(ring: tuple[float, ...]) -> float:
    x, y = ring[::2], ring[1::2]
    return abs(sum(x[i - 1] * y[i] - x[i] * y[i - 1] for i in range(len(x)))) / 2
