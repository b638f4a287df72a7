"""CVAT for images 1.1: XML files with an ``<image>`` per image, in pixels."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from pycocotools import mask as coco_mask

from alcli.annotations import Annotation, Box, Keypoint, Mask, Polygon, Pose
from alcli.errors import DataError
from alcli.formats import Purpose
from alcli.formats._files import annotation_files, dataset_files, is_file
from alcli.formats._names import Claim, ImageNames, Matched, match_claims
from alcli.formats._objects import Objects, ellipse, line, turned_box
from alcli.formats._xml import parse_xml, root_tag
from alcli.items import MOST_PIXELS, Refusal
from alcli.system.hashing import sha256_of_text
from alcli.system.text import is_text

ROOT = "annotations"
LARGEST_FILE = 2**29
CUBOID_CORNERS = ("tl1", "bl1", "tr1", "br1", "tl2", "bl2", "tr2", "br2")
Size = tuple[int, int]
Part = Box | Polygon | Mask | Pose | str


class Cvat:
    """XML files of CVAT; an image is labeled when it is listed, even without objects.

    Turned boxes and ellipses are polygons; lines, points, skeletons and cuboids are joints without an outline. For
    detection, all of them give their bounding boxes.
    """

    title = "CVAT"
    tasks = frozenset({"classification", "detection", "segmentation"})
    looks_like = "XML files of CVAT for images"
    purpose = Purpose()

    def __init__(self, path: Path) -> None:
        self._path = path
        self._matched: Matched[ElementTree.Element] = Matched()

    @classmethod
    def recognizes(cls, path: Path) -> bool:
        """Whether the root of the first XML file that can be read is ``<annotations>``."""
        if is_file(path) and path.suffix.lower() != ".xml":
            return False
        return next(filter(None, map(root_tag, annotation_files(path, ".xml"))), "") == ROOT

    @property
    def notes(self) -> list[str]:
        """What was overlooked in matching names."""
        return self._matched.notes

    def labeled(self, names: Sequence[str]) -> tuple[dict[str, str], list[Refusal]]:
        """Map each listed image to a hash of its element; also return those that match no or several images.

        Raises:
            DataError: a file is not XML, or holds tracks of a video instead of images.
        """
        files, refusals = dataset_files(self._path, ".xml", "cvat")
        claims = [claim for path in files for claim in _claims(path)]
        self._matched = match_claims(ImageNames(names, suffixes=True), claims)
        return self._matched.versions, [*self._matched.refusals, *refusals]

    def read(self, name: str) -> Annotation:
        """The objects of one image; raises DataError naming an invalid one, or one of a kind that is not read."""
        image = self._matched.source(name)
        size = _size(image)
        objects = Objects(self.purpose, size)
        for number, node in enumerate(image):
            if node.tag not in READERS:
                raise DataError(f"object {number}: alcli does not read <{node.tag}> of CVAT; export the set as COCO")
            try:
                part = READERS[node.tag](node, size)
                if isinstance(part, str):
                    objects.add_labels([part])
                else:
                    objects.add(part)
            except DataError as error:
                raise DataError(f"object {number} (<{node.tag}>): {error.what}") from None
        return objects.annotation(name, size if all(size) else None)


def _claims(path: Path) -> Iterator[Claim[ElementTree.Element]]:
    root = parse_xml(path, LARGEST_FILE)
    images = list(root.iter("image"))
    if root.tag == ROOT and not images and root.find("track") is not None:
        raise DataError(f"{path.name} holds tracks of a video.", do="Export it from CVAT as CVAT for images 1.1.")
    for number, image in enumerate(images):
        name = image.get("name", "")
        where = f"{path.name}: image {number}"
        version = sha256_of_text(ElementTree.tostring(image, encoding="unicode")) if is_text(name) else ""
        yield Claim(f"cvat:{where}", name or where, [name] if name else [], image, version)


def _read_box(node: ElementTree.Element, size: Size) -> Box | Polygon:
    label = _label(node)
    x1, y1, x2, y2 = (_number(node, key) for key in ("xtl", "ytl", "xbr", "ybr"))
    angle = _number(node, "rotation", "0")
    if not angle:
        return Box(label, x1, y1, x2, y2)
    return turned_box(label, (x1, y1, x2, y2), angle)


def _read_polygon(node: ElementTree.Element, size: Size) -> Polygon:
    return Polygon(_label(node), (_points(node),))


def _read_line(node: ElementTree.Element, size: Size) -> Pose:
    return line(_label(node), _points(node))


def _read_skeleton(node: ElementTree.Element, size: Size) -> Pose:
    """The joints that are not outside of the image."""
    joints = []
    for joint in node.iter("points"):
        if joint.get("outside") != "1":
            x, y = _points(joint)[:2]
            joints.append(Keypoint(_label(joint), x, y, joint.get("occluded") != "1"))
    return Pose(_label(node), tuple(joints))


def _read_cuboid(node: ElementTree.Element, size: Size) -> Pose:
    return line(_label(node), [_number(node, f"{axis}{corner}") for corner in CUBOID_CORNERS for axis in "xy"])


def _read_ellipse(node: ElementTree.Element, size: Size) -> Polygon:
    x, y, rx, ry = (_number(node, key) for key in ("cx", "cy", "rx", "ry"))
    return ellipse(_label(node), (x, y), (rx, ry), _number(node, "rotation", "0"))


def _read_mask(node: ElementTree.Element, size: Size) -> Mask:
    """Read run lengths, which cover the mask's own rectangle row by row and begin with background."""
    label = _label(node)
    left, top, width, height = (int(_number(node, key)) for key in ("left", "top", "width", "height"))
    try:
        runs = [int(run) for run in node.get("rle", "").split(",")]
    except ValueError:
        raise DataError("its run lengths are not numbers") from None
    inside = min(left, top) >= 0 and left + width <= size[0] and top + height <= size[1]
    if not inside or min(width, height) < 1 or size[0] * size[1] > MOST_PIXELS:
        raise DataError("the mask exceeds its image")
    if min(runs) < 0 or sum(runs) != width * height:
        raise DataError(f"its run lengths cover {sum(runs)} pixels, but {width}×{height} is {width * height}")
    pixels = np.zeros(size[::-1], dtype=np.uint8, order="F")  # (height, width)
    values = np.repeat(np.arange(len(runs)) % 2, runs)
    pixels[top : top + height, left : left + width] = values.reshape(height, width)
    return Mask(label, coco_mask.encode(pixels)["counts"].decode("ascii"), size)


def _read_tag(node: ElementTree.Element, size: Size) -> str:
    return _label(node)


READERS: dict[str, Callable[[ElementTree.Element, Size], Part]] = {
    "box": _read_box,
    "polygon": _read_polygon,
    "polyline": _read_line,
    "points": _read_line,
    "skeleton": _read_skeleton,
    "cuboid": _read_cuboid,
    "ellipse": _read_ellipse,
    "mask": _read_mask,
    "tag": _read_tag,
}


def _points(node: ElementTree.Element) -> tuple[float, ...]:
    """Flat x, y, x, y … of at least one point."""
    try:
        pairs = [[float(value) for value in pair.split(",")] for pair in node.get("points", "").split(";")]
    except ValueError:
        pairs = [[]]
    if any(len(pair) != 2 for pair in pairs):
        raise DataError("points are not numbers")
    return tuple(value for pair in pairs for value in pair)


def _label(node: ElementTree.Element) -> str:
    if not (label := node.get("label", "").strip()):
        raise DataError("it has no label")
    return label


def _number(node: ElementTree.Element, key: str, default: str | None = None) -> float:
    text = node.get(key, default)
    try:
        value = float(text or "")
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise DataError(f"{key} is {text!r}, expected a number")
    return value


def _size(image: ElementTree.Element) -> Size:
    """(width, height), 0 where it is missing."""
    texts = (image.get("width", ""), image.get("height", ""))
    width, height = (int(text) if text.isdecimal() and len(text) < 7 else 0 for text in texts)
    return width, height
