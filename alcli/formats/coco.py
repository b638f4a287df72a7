"""COCO: one JSON file with images, annotations and categories; boxes as [x, y, width, height] in pixels."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from alcli.errors import DataError
from alcli.files import sha256_of_text
from alcli.formats._names import ImageNames
from alcli.items import Annotation, Box, Refusal


class Coco:
    """One JSON file; an image is labelled when it is listed, also without annotations. Crowd regions are left out."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._entries: dict[str, dict[str, Any]] = {}

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """A file that ends in .json."""
        return path.suffix.lower() == ".json"

    def labeled(self, names: Sequence[str]) -> tuple[dict[str, str], list[Refusal]]:
        """Image name → hash of its entries; and listed images that fit no file, or several.

        Raises:
            DataError: the file is not COCO; the message names the place.
        """
        images = ImageNames(names, suffixes=True)
        versions: dict[str, str] = {}
        refusals: list[Refusal] = []
        for entry in _entries(_document(self._path)):
            # Places change when the file is sorted anew; what they hold does not.
            content = [(raw, label) for _, raw, label in entry["annotations"]]
            version = sha256_of_text(json.dumps({**entry, "annotations": content}, sort_keys=True))
            found = images.find(entry["file_name"])
            if len(found) == 1 and found[0] not in versions:
                versions[found[0]] = version
                self._entries[found[0]] = entry
            else:
                refusals.append(_refusal(entry, found, version))
        return versions, refusals

    def read(self, name: str) -> Annotation:
        """The boxes of one image; raises DataError naming the annotation that is wrong."""
        entry = self._entries[name]
        boxes = tuple(_box(place, raw, label) for place, raw, label in entry["annotations"])
        size = (entry["width"], entry["height"])
        return Annotation(name, boxes, size if all(size) else None)


def _refusal(entry: dict[str, Any], found: list[str], version: str) -> Refusal:
    file_name = entry["file_name"]
    if not found:
        reason = "annotation without an image"
    elif len(found) > 1:
        reason = f"could belong to {' or '.join(found)}; write the folder into file_name"
    else:
        reason = f"{found[0]} is listed twice"
    return Refusal(f"coco:{entry['id']}", file_name, reason, version)


def _document(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"{path} is not JSON: {error}.", do="Export it again; a half-copied file looks like this."
        ) from None
    if not isinstance(document, dict):
        raise DataError(f"{path}: the root is a {type(document).__name__}, expected an object.")
    return document


def _entries(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """One entry an image: file_name, width, height, annotations as (place, raw, class name)."""
    categories = {}
    for place, category in _rows(document, "categories"):
        identifier = _field(category, "id", (int, str), place)
        if identifier in categories:
            raise DataError(f"{place}.id: {identifier!r} occurs twice.", do="Give every category its own id.")
        categories[identifier] = _field(category, "name", (str,), place)
    entries: dict[Any, dict[str, Any]] = {}
    for place, image in _rows(document, "images"):
        identifier = _field(image, "id", (int, str), place)
        if identifier in entries:
            raise DataError(f"{place}.id: {identifier!r} occurs twice.", do="Give every image its own id.")
        name = _field(image, "file_name", (str,), place)
        if not name.isprintable() and not _is_utf8(name):
            raise DataError(f"{place}.file_name: {name!r} is not valid text.")
        size = {key: image.get(key) if isinstance(image.get(key), int) else 0 for key in ("width", "height")}
        entries[identifier] = {"id": identifier, "file_name": name.removeprefix("./"), **size, "annotations": []}
    for place, annotation in _rows(document, "annotations"):
        identifier = _field(annotation, "image_id", (int, str), place)
        if identifier not in entries:
            raise DataError(f"{place}.image_id: there is no image {identifier!r}.")
        category = _field(annotation, "category_id", (int, str), place)
        if category not in categories:
            raise DataError(f"{place}.category_id: there is no category {category!r}.")
        if not annotation.get("iscrowd"):
            entries[identifier]["annotations"].append((place, annotation, categories[category]))
    yield from entries.values()


def _is_utf8(text: str) -> bool:
    try:
        return bool(text.encode("utf-8"))
    except UnicodeEncodeError:
        return False


def _rows(document: dict[str, Any], key: str) -> Iterator[tuple[str, dict[str, Any]]]:
    rows = document.get(key)
    if not isinstance(rows, list):
        raise DataError(f"{key}: expected a list, got {type(rows).__name__}.", do="Is this a COCO file?")
    for number, row in enumerate(rows):
        if not isinstance(row, dict):
            raise DataError(f"{key}[{number}]: expected an object, got {type(row).__name__}.")
        yield f"{key}[{number}]", row


def _field(row: dict[str, Any], key: str, kinds: tuple[type, ...], place: str) -> Any:
    value = row.get(key)
    if not isinstance(value, kinds) or isinstance(value, bool):
        raise DataError(f"{place}.{key}: expected {' or '.join(kind.__name__ for kind in kinds)}, got {value!r}.")
    return value


def _box(place: str, annotation: dict[str, Any], label: str) -> Box:
    bbox = annotation.get("bbox")
    if not isinstance(bbox, list) or len(bbox) != 4:
        raise DataError(f"{place}.bbox: expected [x, y, width, height], got {bbox!r}")
    for number, value in enumerate(bbox):
        if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value:
            raise DataError(f"{place}.bbox[{number}]: {value!r} is not a number")
    try:
        x, y, width, height = (float(value) for value in bbox)
        return Box(label, x, y, x + width, y + height)
    except DataError as error:
        raise DataError(f"{place}.bbox: {error.what}") from None
    except OverflowError:
        raise DataError(f"{place}.bbox: a number is too large") from None
