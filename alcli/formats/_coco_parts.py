"""Parse one annotation of a COCO file: box, pose, polygon or mask; every error says where it is in the file."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from typing import Any

from pycocotools import mask as coco_mask

from alcli.annotations import Box, Keypoint, Mask, Polygon, Pose
from alcli.errors import DataError
from alcli.items import MOST_PIXELS

ABSENT, VISIBLE = 0, 2


def has_box(raw: dict[str, Any]) -> bool:
    """Whether there is a ``bbox``; one of four zeros beside an outline is none, as some tools write."""
    bbox = raw.get("bbox")
    return bool(bbox) and not (raw.get("segmentation") and isinstance(bbox, list) and not any(bbox))


def parse_box(where: str, raw: dict[str, Any], label: str) -> Box:
    """Parse ``bbox``: [x, y, width, height] in pixels."""
    bbox = raw.get("bbox")
    if not isinstance(bbox, list) or len(bbox) != 4:
        raise DataError(f"{where}.bbox: expected [x, y, width, height], got {bbox!r}")
    x, y, width, height = _parse_numbers(f"{where}.bbox", bbox)
    with _error_prefix(f"{where}.bbox"):
        return Box(label, x, y, x + width, y + height)


def parse_rotation(raw: dict[str, Any]) -> float:
    """Parse CVAT's ``attributes.rotation``: degrees by which the box is turned clockwise around its center; else 0."""
    attributes = raw.get("attributes")
    angle = attributes.get("rotation") if isinstance(attributes, dict) else None
    if isinstance(angle, bool) or not isinstance(angle, (int, float)) or not abs(angle) < math.inf:
        return 0.0
    return float(angle)


def parse_joint_names(where: str, category: dict[str, Any]) -> list[str]:
    """Parse a category's ``keypoints``: joint names in the order used by its annotations; empty without keypoints."""
    names = category.get("keypoints") or []
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise DataError(f"{where}.keypoints: expected a list of names, got {names!r}.")
    if len(set(names)) != len(names):
        raise DataError(f"{where}.keypoints: a name occurs twice.", do="Give every joint its own name.")
    return names


def parse_pose(where: str, raw: dict[str, Any], label: str, names: Sequence[str], box: Box | None) -> Pose | None:
    """Parse an annotation's ``keypoints``: x, y and visibility (0 not marked, 1 covered, 2 visible) of each joint.

    None if no joint is marked, as of small persons in COCO.
    """
    flat = raw["keypoints"]
    if not names:
        raise DataError(f"{where}.keypoints: the category {label!r} does not name its keypoints")
    if not isinstance(flat, list) or len(flat) != 3 * len(names):
        got = f"{len(flat)} numbers" if isinstance(flat, list) else repr(flat)
        raise DataError(f"{where}.keypoints: expected 3 × {len(names)} numbers, got {got}")
    values = _parse_numbers(f"{where}.keypoints", flat)
    joints = [
        Keypoint(name, x, y, visibility == VISIBLE)
        for name, x, y, visibility in zip(names, values[::3], values[1::3], values[2::3], strict=True)
        if visibility != ABSENT
    ]
    with _error_prefix(f"{where}.keypoints"):
        return Pose(label, tuple(joints), box) if joints else None


def parse_region(where: str, raw: dict[str, Any], label: str, size: tuple[int, int]) -> Polygon | Mask | None:
    """Parse ``segmentation``: polygons as lists of numbers, or a run-length mask, compressed or not; None without one.

    Args:
        size: (width, height) of the image according to the file, 0 where it is missing.
    """
    content = raw.get("segmentation")
    if content is None or content == []:
        return None
    where = f"{where}.segmentation"
    if isinstance(content, dict):
        return _parse_mask(where, content, label, size)
    if not isinstance(content, list) or not all(isinstance(ring, list) for ring in content):
        raise DataError(f"{where}: expected polygons or run lengths, got {type(content).__name__}")
    rings = tuple(tuple(_parse_numbers(f"{where}[{number}]", ring)) for number, ring in enumerate(content))
    with _error_prefix(where):
        return Polygon(label, rings)


def _parse_mask(where: str, content: dict[str, Any], label: str, size: tuple[int, int]) -> Mask:
    height, width = _parse_size(where, content)
    if all(size) and size != (width, height):
        raise DataError(f"{where}.size: the mask has {width}×{height} pixels, the image {size[0]}×{size[1]}")
    if width * height > MOST_PIXELS:
        raise DataError(f"{where}.size: {width}×{height} pixels are more than the {MOST_PIXELS} allowed")
    counts = content.get("counts")
    if isinstance(counts, str):
        with _error_prefix(f"{where}.counts"):
            return Mask(label, counts, (width, height))
    if not isinstance(counts, list) or not all(isinstance(run, int) and run >= 0 for run in counts):
        raise DataError(f"{where}.counts: expected a string or a list of non-negative integers")
    if sum(counts) != width * height:
        raise DataError(
            f"{where}.counts: the runs cover {sum(counts)} pixels, but {width}×{height} is {width * height}"
        )
    packed = coco_mask.frPyObjects({"size": [height, width], "counts": counts}, height, width)
    return Mask(label, packed["counts"].decode("ascii"), (width, height))


def _parse_size(where: str, content: dict[str, Any]) -> tuple[int, int]:
    size = content.get("size")
    if not isinstance(size, list) or len(size) != 2 or not all(isinstance(side, int) and side > 0 for side in size):
        raise DataError(f"{where}.size: expected [height, width], got {size!r}")
    return size[0], size[1]


def _parse_numbers(where: str, values: Sequence[Any]) -> list[float]:
    for number, value in enumerate(values):
        if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value:
            raise DataError(f"{where}[{number}]: {value!r} is not a number")
    try:
        return [float(value) for value in values]
    except OverflowError:
        raise DataError(f"{where}: a number is too large") from None


@contextlib.contextmanager
def _error_prefix(where: str) -> Iterator[None]:
    try:
        yield
    except DataError as error:
        raise DataError(f"{where}: {error.what}") from None
