"""Pascal VOC: one XML file per image, with box corners in pixels."""

from __future__ import annotations

import contextlib
import math
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from alcli.annotations import Annotation, Box, Polygon
from alcli.errors import DataError
from alcli.formats import Purpose
from alcli.formats._files import annotation_files
from alcli.formats._names import Claim, ImageNames, Matched, file_claims, match_claims
from alcli.formats._objects import Objects, turned_box
from alcli.formats._xml import parse_xml, root_tag
from alcli.items import Refusal
from alcli.system.files import SHARED, atomic_write
from alcli.system.text import quantity

ROOT = "annotation"


class Voc:
    """A folder of XML files; an image is labeled when its file exists, even with zero objects.

    ``sub/x.xml`` or ``sub/x.jpg.xml`` belongs to the image ``sub/x.jpg`` (any suffix), else to the only image named
    ``x`` in any folder, else to the image that its ``<filename>`` names. XML of another kind is no annotation. Corners
    are read as written, without the 2007 tools' one-pixel shift. A turned box or a polygon gives its bounding box;
    parts of an object (``<part>``) are passed over.
    """

    title = "Pascal VOC"
    tasks = frozenset({"detection"})
    looks_like = "XML files, one per image"

    def __init__(self, path: Path) -> None:
        self._root = path
        self._matched: Matched[Path] = Matched()

    @classmethod
    def recognizes(cls, path: Path) -> bool:
        """Whether the folder contains XML files, the first of them not ``<annotations>``, which is CVAT's."""
        files = annotation_files(path, ".xml") if path.is_dir() else []
        return bool(files) and next(filter(None, map(root_tag, files)), "") != "annotations"

    @property
    def notes(self) -> list[str]:
        """What was overlooked in matching names."""
        count = sum(len(claim.keys) > 1 for name in self._matched.versions for claim in self._matched.claims(name))
        return [*self._matched.notes, *([f"{quantity(count, 'annotation')} matched by <filename>."] if count else [])]

    def labeled(self, names: Sequence[str]) -> tuple[dict[str, str], list[Refusal]]:
        """Map each labeled image to its file's version; also return the files that match no or several images."""
        images = ImageNames(names, suffixes=False)
        files = annotation_files(self._root, ".xml")
        claims: list[Claim[Path]] = []
        for claim in file_claims("voc", self._root, files, lambda path: [str(path.with_suffix(""))]):
            if claim.version and not images.match(claim.keys).images:
                tag, written = _head(claim.source)
                if tag not in (ROOT, ""):
                    continue
                claim = replace(claim, keys=[*claim.keys, *written])
            claims.append(claim)
        advice = "use unique image names, or put the XML in the image's folder"
        self._matched = match_claims(images, claims, ambiguous=advice)
        return self._matched.versions, self._matched.refusals

    def read(self, name: str) -> Annotation:
        """The boxes of one image; raises DataError naming an invalid object."""
        path = self._matched.source(name)
        root = parse_xml(path)
        if root.tag != ROOT:
            raise DataError(f"{path.name}: the root is <{root.tag}>, expected <{ROOT}>")
        size = _size(root)
        objects = Objects(Purpose("detection"), size)
        for number, node in enumerate(root.iter("object")):
            try:
                objects.add(_shape(node))
            except DataError as error:
                raise DataError(f"{path.name}: object {number}: {error.what}") from None
            for _ in node.iter("part"):
                objects.pass_over("part")
        return objects.annotation(name, size)


def write(path: Path, name: str, annotation: Annotation) -> None:
    """Write one annotation as VOC XML, atomically."""
    root = ElementTree.Element("annotation")
    ElementTree.SubElement(root, "filename").text = name
    if annotation.size:
        size = ElementTree.SubElement(root, "size")
        for key, value in zip(("width", "height", "depth"), (*annotation.size, 3), strict=True):
            ElementTree.SubElement(size, key).text = str(value)
    for box in annotation.boxes:
        node = ElementTree.SubElement(root, "object")
        ElementTree.SubElement(node, "name").text = box.label
        corners = ElementTree.SubElement(node, "bndbox")
        for key, corner in zip(("xmin", "ymin", "xmax", "ymax"), (box.x1, box.y1, box.x2, box.y2), strict=True):
            ElementTree.SubElement(corners, key).text = f"{corner:.10g}"
    ElementTree.indent(root)
    with atomic_write(path, permissions=SHARED) as stream:
        stream.write(ElementTree.tostring(root, encoding="unicode") + "\n")


def _head(path: Path) -> tuple[str, list[str]]:
    """(tag of the root, image name in ``<filename>`` without suffix, if any) of a file that no image is named like."""
    try:
        root = parse_xml(path)
    except DataError:
        return "", []
    written = (root.findtext("filename") or "").strip().replace("\\", "/")
    return root.tag, [str(PurePosixPath(written).with_suffix(""))] if PurePosixPath(written).name else []


def _shape(node: ElementTree.Element) -> Box | Polygon:
    """The box of an object, a polygon where the box is turned, or its own polygon where it has no box."""
    label = (node.findtext("name") or "").strip()
    if not label:
        raise DataError("has no <name>")
    if node.find("bndbox") is None and node.find("robndbox") is not None:
        x, y, width, height = (_number(node, f"robndbox/{key}") for key in ("cx", "cy", "w", "h"))
        corners = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
        return turned_box(label, corners, math.degrees(_number(node, "robndbox/angle")))
    if node.find("bndbox") is None and node.find("polygon") is not None:
        return Polygon(label, (_ring(node),))
    x1, y1, x2, y2 = (_number(node, f"bndbox/{key}") for key in ("xmin", "ymin", "xmax", "ymax"))
    angle = _rotation(node)
    return turned_box(label, (x1, y1, x2, y2), angle) if angle else Box(label, x1, y1, x2, y2)


def _ring(node: ElementTree.Element) -> tuple[float, ...]:
    """Read ``<polygon>`` with ``<x1> <y1> <x2> …`` or, as LabelMe writes it, with ``<pt><x> <y>``."""
    points = node.findall("polygon/pt") or node.findall("polygon/point")
    if points:
        return tuple(_number(point, key) for point in points for key in "xy")
    count = len(node.findall("polygon/*")) // 2
    return tuple(_number(node, f"polygon/{axis}{number}") for number in range(1, count + 1) for axis in "xy")


def _rotation(node: ElementTree.Element) -> float:
    """CVAT's attribute ``rotation``: degrees by which the box is turned clockwise around its center."""
    for attribute in node.iter("attribute"):
        if attribute.findtext("name") == "rotation":
            with contextlib.suppress(DataError):  # somebody's own attribute of this name
                return _number(attribute, "value")
    return 0.0


def _number(node: ElementTree.Element, path: str) -> float:
    text = node.findtext(path)
    try:
        return float(text or "")
    except ValueError:
        raise DataError(f"<{path.rpartition('/')[2]}> is {text!r}, expected a number") from None


def _size(root: ElementTree.Element) -> tuple[int, int] | None:
    try:
        width, height = (int(float(root.findtext(f"size/{key}") or "0")) for key in ("width", "height"))
    except (ValueError, OverflowError):
        return None
    return (width, height) if width > 0 and height > 0 else None
