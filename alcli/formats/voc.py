"""Pascal VOC: one XML file per image, with box corners in pixels."""

from __future__ import annotations

import stat
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from alcli.annotations import Annotation, Box
from alcli.errors import DataError
from alcli.formats._names import ImageNames
from alcli.items import Refusal
from alcli.system.files import SHARED, atomic_write
from alcli.system.text import readable

LARGEST_FILE = 16 * 2**20


class Voc:
    """A folder of XML files; an image is labeled when its file exists, even with zero objects.

    ``sub/x.xml`` belongs to the image ``sub/x.jpg`` (any suffix); ``x.xml`` at the top level also matches the only
    image named ``x`` in any folder. Corners are read as written, without the one-pixel shift of the 2007 tools.
    """

    def __init__(self, path: Path) -> None:
        self._root = path
        self._files: dict[str, Path] = {}

    @classmethod
    def recognizes(cls, path: Path) -> bool:
        """Whether the folder contains XML files.

        VOC is also the format of a folder that no format recognizes, for example before the first annotation.
        """
        return path.is_dir() and next(path.rglob("*.xml"), None) is not None

    def labeled(self, names: Sequence[str]) -> tuple[dict[str, str], list[Refusal]]:
        """Map each labeled image to its file's version; also return the files that match no or several images."""
        images = ImageNames(names, suffixes=False)
        paths = [path for path in sorted(self._root.rglob("*")) if path.suffix.lower() == ".xml"]
        keys = {path: readable(path.relative_to(self._root).as_posix()) for path in paths}
        matches = {path: images.find(str(PurePosixPath(keys[path]).with_suffix(""))) for path in paths}
        versions: dict[str, str] = {}
        refusals: list[Refusal] = []
        # Exact paths take precedence over bare names.
        for path in sorted(paths, key=lambda path: not images.is_exact(keys[path], matches[path])):
            version = _version(path)
            if version and len(matches[path]) == 1 and matches[path][0] not in versions:
                versions[matches[path][0]] = version
                self._files[matches[path][0]] = path
            else:
                reason = _mismatch(matches[path], self._files) if version else "not a regular file that can be opened"
                refusals.append(Refusal(f"voc:{keys[path]}", keys[path], reason, version))
        return versions, refusals

    def read(self, name: str) -> Annotation:
        """The boxes of one image; raises DataError naming an invalid object."""
        path = self._files[name]
        root = _parse(path)
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


def _version(path: Path) -> str:
    """Size and modification time; empty for anything but a readable regular file."""
    try:
        facts = path.stat()
    except OSError:
        return ""
    return f"{facts.st_size}-{facts.st_mtime_ns}" if stat.S_ISREG(facts.st_mode) else ""


def _mismatch(matches: list[str], taken: dict[str, Path]) -> str:
    if not matches:
        return "annotation without an image"
    if len(matches) > 1:
        candidates = " or ".join(matches)
        return f"could belong to {candidates}; use unique image names, or put the XML in the image's folder"
    return f"{matches[0]} already has {taken[matches[0]].name}"


def _parse(path: Path) -> ElementTree.Element:
    try:
        if (size := path.stat().st_size) > LARGEST_FILE:
            raise DataError(f"{path.name}: {size} bytes is too large for an annotation")
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path.name}: cannot be read: {error.strerror}") from None
    if b"<!DOCTYPE" in content or b"<!ENTITY" in content:
        raise DataError(f"{path.name}: declares entities, which annotations do not need")
    try:
        root = ElementTree.fromstring(content)
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise DataError(f"{path.name}: not valid XML: {error}") from None
    if root.tag != "annotation":
        raise DataError(f"{path.name}: the root is <{root.tag}>, expected <annotation>")
    return root


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
