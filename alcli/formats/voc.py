"""Pascal VOC: one XML file per image, with box corners in pixels."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from pathlib import Path

from alcli.annotations import Annotation, Box
from alcli.errors import DataError
from alcli.formats._files import annotation_files
from alcli.formats._names import ImageNames, Matched, file_claims, match_claims
from alcli.formats._xml import parse_xml, root_tag
from alcli.items import Refusal
from alcli.system.files import SHARED, atomic_write


class Voc:
    """A folder of XML files; an image is labeled when its file exists, even with zero objects.

    ``sub/x.xml`` or ``sub/x.jpg.xml`` belongs to the image ``sub/x.jpg`` (any suffix), else to the only image named
    ``x`` in any folder. Corners are read as written, without the one-pixel shift of the 2007 tools.
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
        return self._matched.notes

    def labeled(self, names: Sequence[str]) -> tuple[dict[str, str], list[Refusal]]:
        """Map each labeled image to its file's version; also return the files that match no or several images."""
        claims = file_claims(
            "voc", self._root, annotation_files(self._root, ".xml"), lambda path: [str(path.with_suffix(""))]
        )
        advice = "use unique image names, or put the XML in the image's folder"
        self._matched = match_claims(ImageNames(names, suffixes=False), claims, ambiguous=advice)
        return self._matched.versions, self._matched.refusals

    def read(self, name: str) -> Annotation:
        """The boxes of one image; raises DataError naming an invalid object."""
        path = self._matched.source(name)
        root = parse_xml(path)
        if root.tag != "annotation":
            raise DataError(f"{path.name}: the root is <{root.tag}>, expected <annotation>")
        boxes = []
        for number, node in enumerate(root.iter("object")):
            try:
                boxes.append(_box(node))
            except DataError as error:
                raise DataError(f"{path.name}: object {number}: {error.what}") from None
        return Annotation(name, tuple(boxes), _size(root))


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


def _box(node: ElementTree.Element) -> Box:
    label = (node.findtext("name") or "").strip()
    if not label:
        raise DataError("has no <name>")
    corners = [_number(node, key) for key in ("xmin", "ymin", "xmax", "ymax")]
    return Box(label, *corners)


def _number(node: ElementTree.Element, key: str) -> float:
    text = node.findtext(f"bndbox/{key}")
    try:
        return float(text or "")
    except ValueError:
        raise DataError(f"<{key}> is {text!r}, expected a number") from None


def _size(root: ElementTree.Element) -> tuple[int, int] | None:
    try:
        width, height = (int(float(root.findtext(f"size/{key}") or "0")) for key in ("width", "height"))
    except (ValueError, OverflowError):
        return None
    return (width, height) if width > 0 and height > 0 else None
