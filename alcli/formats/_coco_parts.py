"""One annotation of a COCO file: its box, its person, its region; every error names its place in the file."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

from pycocotools import mask as coco_mask

from alcli.annotations import Box, Keypoint, Mask, Polygon, Pose
from alcli.errors import DataError
from alcli.items import MOST_PIXELS

ABSENT, VISIBLE = 0, 2


def box(place: str, raw: dict[str, Any], label: str) -> Box:
    """``bbox``: [x, y, width, height] in pixels."""
    bbox = raw.get("bbox")
    if not isinstance(bbox, list) or len(bbox) != 4:
        raise DataError(f"{place}.bbox: expected [x, y, width, height], got {bbox!r}")
    x, y, width, height = _numbers(f"{place}.bbox", bbox)
    with _at(f"{place}.bbox"):
        return Box(label, x, y, x + width, y + height)


def joint_names(place: str, category: dict[str, Any]) -> list[str]:
    """``keypoints`` of a category: the joints in the order of every annotation; empty when it has none."""
    names = category.get("keypoints") or []
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise DataError(f"{place}.keypoints: expected a list of names, got {names!r}.")
    if len(set(names)) != len(names):
        raise DataError(f"{place}.keypoints: a name occurs twice.", do="Give every joint its own name.")
    return names


def pose(place: str, raw: dict[str, Any], label: str, names: Sequence[str], given: Box | None) -> Pose:
    """``keypoints``: x, y, visibility (0 not marked, 1 covered, 2 visible) of each joint."""
    flat = raw["keypoints"]
    if not names:
        raise DataError(f"{place}.keypoints: the category {label!r} does not name its keypoints")
    if not isinstance(flat, list) or len(flat) != 3 * len(names):
        found = f"{len(flat)} numbers" if isinstance(flat, list) else repr(flat)
        raise DataError(f"{place}.keypoints: expected 3 × {len(names)} numbers, got {found}")
    values = _numbers(f"{place}.keypoints", flat)
    joints = [
        Keypoint(name, values[3 * row], values[3 * row + 1], values[3 * row + 2] == VISIBLE)
        for row, name in enumerate(names)
        if values[3 * row + 2] != ABSENT
    ]
    with _at(f"{place}.keypoints"):
        return Pose(label, tuple(joints), given)


def region(place: str, raw: dict[str, Any], label: str, size: tuple[int, int]) -> Polygon | Mask | None:
    """``segmentation``: polygons as lists of numbers, or run lengths, plain or compressed; None without one.

    Args:
        size: (width, height) of the image as the file says, 0 where it does not.
    """
    content = raw.get("segmentation")
    if content is None or content == []:
        return None
    place = f"{place}.segmentation"
    if isinstance(content, dict):
        return _mask(place, content, label, size)
    if not isinstance(content, list) or not all(isinstance(ring, list) for ring in content):
        raise DataError(f"{place}: expected polygons or run lengths, got {type(content).__name__}")
    rings = tuple(tuple(_numbers(f"{place}[{number}]", ring)) for number, ring in enumerate(content))
    with _at(place):
        return Polygon(label, rings)


def _mask(place: str, content: dict[str, Any], label: str, size: tuple[int, int]) -> Mask:
    height, width = _size(place, content)
    if all(size) and size != (width, height):
        raise DataError(f"{place}.size: {width}×{height} pixels, the image has {size[0]}×{size[1]}")
    if width * height > MOST_PIXELS:
        raise DataError(f"{place}.size: {width}×{height} pixels are more than the {MOST_PIXELS} allowed")
    counts = content.get("counts")
    if isinstance(counts, str):
        with _at(f"{place}.counts"):
            return Mask(label, counts, (width, height))
    if not isinstance(counts, list) or not all(isinstance(run, int) and run >= 0 for run in counts):
        raise DataError(f"{place}.counts: expected text or a list of whole numbers")
    if sum(counts) != width * height:
        raise DataError(f"{place}.counts: {sum(counts)} pixels, {width}×{height} has {width * height}")
    packed = coco_mask.frPyObjects({"size": [height, width], "counts": counts}, height, width)
    return Mask(label, packed["counts"].decode("ascii"), (width, height))


def _size(place: str, content: dict[str, Any]) -> tuple[int, int]:
    size = content.get("size")
    if not isinstance(size, list) or len(size) != 2 or not all(isinstance(side, int) and side > 0 for side in size):
        raise DataError(f"{place}.size: expected [height, width], got {size!r}")
    return size[0], size[1]


def _numbers(place: str, values: Sequence[Any]) -> list[float]:
    for number, value in enumerate(values):
        if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value:
            raise DataError(f"{place}[{number}]: {value!r} is not a number")
    try:
        return [float(value) for value in values]
    except OverflowError:
        raise DataError(f"{place}: a number is too large") from None


@contextlib.contextmanager
def _at(place: str) -> Iterator[None]:
    try:
        yield
    except DataError as error:
        raise DataError(f"{place}: {error.what}") from None
