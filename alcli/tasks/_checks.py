"""Checks of annotations before training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from alcli.annotations import IGNORED, Annotation, Box
from alcli.errors import DataError
from alcli.items import ImageFacts

OVERHANG = 2.0
"""Pixels by which a box or joint may exceed its image; boxes are clipped. Beyond that the annotation is invalid."""


def upright(annotation: Annotation, facts: ImageFacts) -> Annotation:
    """The annotation in pixels; raises DataError when it was made for an image of another size."""
    width, height = facts.width, facts.height
    if annotation.size and annotation.size != (width, height):
        annotated_size = "{}×{}".format(*annotation.size)
        hint = " (turned by EXIF?)" if annotation.size == (height, width) else ""
        raise DataError(f"the annotation is for {annotated_size} pixels, the upright image has {width}×{height}{hint}")
    return annotation.in_pixels(width, height)


def require_parts(annotation: Annotation, *wanted: str) -> None:
    """Raises DataError when the annotation has parts, but none that the task reads; an empty one passes."""
    filled = [part for part in ("labels", "boxes", "poses", "polygons") if getattr(annotation, part)]
    filled += ["masks"] if any(mask.label != IGNORED or mask.pixel_id is not None for mask in annotation.masks) else []
    if filled and not set(filled) & set(wanted):
        raise DataError(f"the annotation has {' and '.join(filled)}, but no {' or '.join(wanted)}")


def check_class(label: str, classes: Sequence[str]) -> None:
    """Raises DataError when the class is not one of the model's."""
    if label not in classes:
        raise DataError(f"class {label!r} is not one of {', '.join(classes)}")


def clip_box(box: Box, facts: ImageFacts) -> Box:
    """Clip a box to the image; raises DataError when it exceeds the image by more than two pixels."""
    width, height = facts.width, facts.height
    over = max(-box.x1, -box.y1, box.x2 - width, box.y2 - height)
    if over > OVERHANG:
        corners = f"({box.x1:g}, {box.y1:g}, {box.x2:g}, {box.y2:g})"
        raise DataError(f"box {corners} of class {box.label!r} reaches {over:g} pixels out of {width}×{height}")
    return replace(box, x1=max(box.x1, 0), y1=max(box.y1, 0), x2=min(box.x2, width), y2=min(box.y2, height))
