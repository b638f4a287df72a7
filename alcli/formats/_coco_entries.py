"""The lists of a COCO file: which image has which annotations; every error says where it is in the file."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from alcli.errors import DataError
from alcli.formats._coco_parts import parse_joint_names
from alcli.formats._files import DATASET, read_text
from alcli.items import Refusal
from alcli.system.text import is_text

LISTS = ("images", "annotations", "categories")
SPARSE = 2**20
"""Characters per object, above which a file is parsed number by number."""


@dataclass(frozen=True)
class Category:
    """A category: its name, the names of its joints in order, and what is wrong with these names."""

    name: str
    joints: Sequence[str] = ()
    problem: str = ""

    @property
    def content(self) -> dict[str, Any]:
        """What a hash of an annotation depends on."""
        return {"name": self.name, "keypoints": self.joints}


@dataclass
class Entry:
    """One image of the file.

    Attributes:
        raw_id: the id as written.
        size: (width, height), 0 where it is missing.
        objects: (where it is in the file, the raw annotation, its category) of each annotation.
        problem: why the image cannot be used; empty if it can.
    """

    raw_id: Any
    file_name: str
    size: tuple[int, int]
    objects: list[tuple[str, dict[str, Any], Category]] = field(default_factory=list)
    problem: str = ""

    @property
    def id(self) -> str:
        """The id as text."""
        return _id_text(self.raw_id)

    @property
    def content(self) -> dict[str, Any]:
        """What a hash of the entry depends on, apart from its annotations."""
        size = {"width": self.size[0], "height": self.size[1]}
        problem = {"problem": self.problem} if self.problem else {}
        return {"id": self.raw_id, "file_name": self.file_name, **size, **problem}


def coco_document(path: Path) -> dict[str, Any]:
    """The content of a JSON file with COCO's lists; empty for any other JSON.

    Raises:
        DataError: the file cannot be read, or is not JSON.
    """
    document = load_json(path)
    if not isinstance(document, dict):
        return {}
    return document if all(isinstance(document.get(key), list) for key in LISTS) else {}


def load_document(path: Path) -> dict[str, Any]:
    """The object in a JSON file; raises DataError for anything else."""
    document = load_json(path)
    if not isinstance(document, dict):
        raise DataError(f"{path}: the root is a {type(document).__name__}, expected an object.")
    return document


def load_json(path: Path, largest: int = DATASET) -> Any:
    """The content of a JSON file; raises DataError if it is too large, cannot be read, or is not JSON."""
    try:
        return _parse_json(read_text(path, largest))
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"{path} is not JSON: {error}.", do="Export it again; perhaps the file was only partly copied."
        ) from None


def _parse_json(text: str) -> Any:
    """Parse JSON and let signals and other threads have their turn, as only calls of Python do in the parser.

    A call for each object is enough, unless most of a large file is numbers outside of any object.
    """
    if text.count("{") * SPARSE >= len(text):
        return json.loads(text, object_hook=_same)
    return json.loads(text, object_hook=_same, parse_int=_integer, parse_float=_decimal)


def _same(value: dict[str, Any]) -> dict[str, Any]:
    return value


def _integer(digits: str) -> int:
    return int(digits)


def _decimal(digits: str) -> float:
    return float(digits)


def read_entries(document: dict[str, Any], source: str = "") -> tuple[list[Entry], list[Refusal]]:
    """Read the images with their annotations, and refuse what belongs to no image.

    Ids are compared by their text: tools write 1 in one list and "1" in another.

    Args:
        source: the file's name where there are several; empty for the only one.

    Raises:
        DataError: a list is missing: this is not a COCO file.
    """
    categories, problems = _read_categories(document)
    entries: dict[str, Entry] = {}
    refusals: list[Refusal] = []
    more: list[Entry] = []
    for where, image in _objects(document, "images"):
        try:
            entry = _read_image(where, image)
        except DataError as error:
            refusals.append(_refuse(where, error.what, source))
            continue
        if entry.id in entries:
            entry.problem = entries[entry.id].problem = f"{where}.id: {entry.raw_id!r} occurs twice"
            more.append(entry)
        else:
            entries[entry.id] = entry
    for where, annotation in _objects(document, "annotations"):
        identifier = _id_text(annotation.get("image_id"))
        if identifier not in entries:
            refusals.append(_refuse(where, f"there is no image {annotation.get('image_id')!r}", source))
            continue
        entry, category = entries[identifier], _id_text(annotation.get("category_id"))
        if category in categories:
            entry.objects.append((where, annotation, categories[category]))
        else:
            missing = f"there is no category {annotation.get('category_id')!r}"
            entry.problem = entry.problem or f"{where}.category_id: {problems.get(category, missing)}"
    return [*entries.values(), *more], refusals


def _read_categories(document: dict[str, Any]) -> tuple[dict[str, Category], dict[str, str]]:
    """(category by the text of its id, what is wrong with the others)."""
    categories: dict[str, Category] = {}
    problems: dict[str, str] = {}
    for where, raw in _objects(document, "categories"):
        identifier = _id_text(raw.get("id"))
        try:
            category = _read_category(where, raw)
        except DataError as error:
            problems[identifier] = error.what
            continue
        if categories.setdefault(identifier, category) != category:
            problems[identifier] = f"{where}.id: {raw.get('id')!r} occurs twice"
    return {key: category for key, category in categories.items() if key not in problems}, problems


def _read_category(where: str, raw: dict[str, Any]) -> Category:
    """Only poses need the names of the joints."""
    name = _name(raw, "name", where)
    try:
        return Category(name, parse_joint_names(where, raw))
    except DataError as error:
        return Category(name, (), error.what.rstrip("."))


def _read_image(where: str, raw: dict[str, Any]) -> Entry:
    if not _id_text(raw.get("id")):
        raise DataError(f"{where}.id: expected int or str, got {raw.get('id')!r}")
    name = _name(raw, "file_name", where)
    width, height = (raw.get(key) if type(raw.get(key)) is int else 0 for key in ("width", "height"))
    return Entry(raw["id"], name.removeprefix("./"), (width or 0, height or 0))


def _objects(document: dict[str, Any], key: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (where it is, object) of a list; anything else in the list counts as an object without content."""
    entries = document.get(key)
    if not isinstance(entries, list):
        raise DataError(f"{key}: expected a list, got {type(entries).__name__}.", do="Is this a COCO file?")
    for number, entry in enumerate(entries):
        yield f"{key}[{number}]", entry if isinstance(entry, dict) else {}


def _id_text(value: Any) -> str:
    """An id as text, whole numbers without a point; empty for anything that is no id."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value) if isinstance(value, (int, str)) and not isinstance(value, bool) else ""


def _name(raw: dict[str, Any], key: str, where: str) -> str:
    name = raw.get(key)
    if not isinstance(name, str) or not name:
        raise DataError(f"{where}.{key}: expected a name, got {name!r}")
    if not is_text(name):
        raise DataError(f"{where}.{key}: {name!r} is not valid text")
    return name


def _refuse(where: str, reason: str, source: str) -> Refusal:
    name = f"{source}: {where}" if source else where
    return Refusal(f"coco:{name}", name, reason, "listed")
