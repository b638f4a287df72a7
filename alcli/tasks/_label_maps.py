"""From annotated regions to label maps (one class index per pixel), and back."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pycocotools import mask as coco_mask

from alcli.annotations import IGNORED, Annotation, Mask, Polygon
from alcli.errors import DataError

IGNORE = 255
"""Label of pixels that are ignored in training and evaluation."""
BACKGROUND = "background"
"""Class of pixels outside all regions; without such a class they are ignored."""


def label_map(annotation: Annotation, size: tuple[int, int], classes: Sequence[str], ignore_index: int) -> np.ndarray:
    """Render (height, width) uint8 of indices into ``classes``, 255 = ignore; later regions cover earlier ones.

    Args:
        size: (width, height) in pixels. ignore_index: the id that means "ignore" in mask files.
    """
    width, height = size
    ground = classes.index(BACKGROUND) if BACKGROUND in classes else IGNORE
    numbers = np.full((height, width), ground, dtype=np.uint8)
    for polygon in annotation.polygons:
        numbers[_inside(polygon, width, height)] = classes.index(polygon.label)
    for mask in annotation.masks:
        ignored = mask.label == IGNORED or mask.pixel_id == ignore_index
        numbers[mask.pixels().astype(bool)] = IGNORE if ignored else classes.index(mask.label)
    return numbers


def class_weights(pixel_counts: np.ndarray) -> np.ndarray:
    """√(mean frequency ÷ frequency) of each class: (classes,) counts of pixels → (classes,) weights.

    The mean is over the classes that occur; a class that doesn't gets the largest weight of those that do. The mean
    weight over pixels is at most 1.
    """
    present = pixel_counts > 0
    if not present.any():
        return np.ones(len(pixel_counts))
    weights = np.sqrt(pixel_counts[present].mean() / np.maximum(pixel_counts, 1))
    return np.where(present, weights, weights[present].max())


def masks(numbers: np.ndarray, classes: Sequence[str]) -> tuple[Mask, ...]:
    """One mask for each class that occurs in the label map ``numbers`` (height, width)."""
    size = (numbers.shape[1], numbers.shape[0])
    return tuple(
        Mask(classes[number], encode_mask(numbers == number), size)
        for number in np.unique(numbers).tolist()
        if number < len(classes)
    )


def encode_mask(pixels: np.ndarray) -> str:
    """(height, width) bool → COCO's compressed run-length encoding."""
    return coco_mask.encode(np.asfortranarray(pixels, dtype=np.uint8))["counts"].decode("ascii")


def check(annotation: Annotation, size: tuple[int, int]) -> None:
    """Raises DataError for a region that would make pycocotools, which checks nothing, write outside its buffer.

    Args:
        size: (width, height) of the image. A mask must have this size; a polygon may exceed it by once its size.
    """
    for mask in annotation.masks:
        if mask.size != size:
            raise DataError("the mask has {}×{} pixels, the upright image has {}×{}".format(*mask.size, *size))
    for polygon in annotation.polygons:
        for ring in (*polygon.rings, *polygon.holes):
            for values, side in ((ring[::2], size[0]), (ring[1::2], size[1])):
                if min(values) < -side or max(values) > 2 * side:
                    raise DataError(
                        f"polygon of class {polygon.label!r} reaches from {min(values):g} to {max(values):g},"
                        f" far outside {size[0]}×{size[1]}"
                    )


def _inside(polygon: Polygon, width: int, height: int) -> np.ndarray:
    outer, holes = (
        coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects([list(ring) for ring in rings], height, width)))
        if rings
        else np.zeros((height, width), dtype=np.uint8)
        for rings in (polygon.rings, polygon.holes)
    )
    return outer.astype(bool) & ~holes.astype(bool)
