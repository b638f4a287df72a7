"""COCO: one JSON file with images, annotations and categories; boxes as [x, y, width, height] in pixels."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from alcli.annotations import IGNORED, Annotation, Mask, Polygon, Pose
from alcli.errors import DataError
from alcli.formats import _coco_parts as parts
from alcli.formats._names import ImageNames
from alcli.items import Refusal
from alcli.system.files import SHARED, atomic_write
from alcli.system.hashing import sha256_of_text

INVISIBLE, VISIBLE = 1, 2


class Coco:
    """One JSON file; an image is labelled when it is listed, also without annotations.

    An annotation gives its box, its person where the category has keypoints, and its polygons or run-length mask.
    Crowd regions give no box; where they have a mask, its pixels are ignored.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._entries: dict[str, dict[str, Any]] = {}

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """A file that ends in .json."""
        return path.is_file() and path.suffix.lower() == ".json"

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
        """Everything annotated on one image; raises DataError naming the annotation that is wrong."""
        entry = self._entries[name]
        size = (entry["width"], entry["height"])
        boxes, poses, polygons, masks = [], [], [], []
        for place, raw, category in entry["annotations"]:
            label = IGNORED if raw.get("iscrowd") else category["name"]
            region = parts.region(place, raw, label, size)
            if isinstance(region, Polygon):
                polygons.append(region)
            elif isinstance(region, Mask):
                masks.append(region)
            if raw.get("iscrowd"):
                continue
            box = parts.box(place, raw, label) if "bbox" in raw or (region is None and "keypoints" not in raw) else None
            boxes += [box] if box else []
            if "keypoints" in raw:
                poses.append(parts.pose(place, raw, label, category["keypoints"], box))
        return Annotation(
            name, tuple(boxes), size if all(size) else None, (), tuple(poses), tuple(polygons), tuple(masks)
        )


def write(path: Path, annotations: Mapping[str, Annotation]) -> None:
    """Write annotations by image name as one COCO file, whole or not at all.

    Raises:
        DataError: a polygon has holes, which COCO's polygons cannot say.
    """
    joints = sorted({joint.name for row in annotations.values() for pose in row.poses for joint in pose.keypoints})
    classes = sorted(set().union(*(row.class_names() for row in annotations.values())))
    numbers = {name: number for number, name in enumerate(classes, 1)}
    images: list[dict[str, Any]] = []
    rows: list[dict[str, Any]] = []
    for image, (name, annotation) in enumerate(annotations.items(), 1):
        size = dict(zip(("width", "height"), annotation.size, strict=True)) if annotation.size else {}
        images.append({"id": image, "file_name": name, **size})
        for label, content in _written(annotation, joints):
            crowd = int(label == IGNORED)
            category = numbers.get(label, 1)
            rows.append({"id": len(rows) + 1, "image_id": image, "category_id": category, "iscrowd": crowd, **content})
    categories = [{"id": number, "name": name, "keypoints": joints} for name, number in numbers.items()]
    with atomic_write(path, permissions=SHARED) as stream:
        json.dump({"images": images, "annotations": rows, "categories": categories}, stream)


def _written(annotation: Annotation, joints: Sequence[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    posed = [pose.box for pose in annotation.poses]
    for box in annotation.boxes:
        if box not in posed:
            yield box.label, {"bbox": [box.x1, box.y1, box.x2 - box.x1, box.y2 - box.y1]}
    for pose in annotation.poses:
        yield pose.label, _written_pose(pose, joints)
    for polygon in annotation.polygons:
        if polygon.holes:
            raise DataError(f"polygon of class {polygon.label!r} has holes, which COCO's polygons cannot say")
        yield polygon.label, {"segmentation": [list(ring) for ring in polygon.rings]}
    for mask in annotation.masks:
        yield mask.label, {"segmentation": {"size": list(mask.size[::-1]), "counts": mask.counts}}


def _written_pose(pose: Pose, joints: Sequence[str]) -> dict[str, Any]:
    marked = {joint.name: joint for joint in pose.keypoints}
    flat: list[float] = []
    for name in joints:
        joint = marked.get(name)
        flat += [joint.x, joint.y, VISIBLE if joint.visible else INVISIBLE] if joint else [0, 0, 0]
    content: dict[str, Any] = {"keypoints": flat, "num_keypoints": len(marked)}
    if pose.box:
        content["bbox"] = [pose.box.x1, pose.box.y1, pose.box.x2 - pose.box.x1, pose.box.y2 - pose.box.y1]
    return content


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
    """One entry an image: file_name, width, height, annotations as (place, raw, category with name and keypoints)."""
    categories = {}
    for place, category in _rows(document, "categories"):
        identifier = _field(category, "id", (int, str), place)
        if identifier in categories:
            raise DataError(f"{place}.id: {identifier!r} occurs twice.", do="Give every category its own id.")
        name = _field(category, "name", (str,), place)
        categories[identifier] = {"name": name, "keypoints": parts.joint_names(place, category)}
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
        category_id = _field(annotation, "category_id", (int, str), place)
        if category_id not in categories:
            raise DataError(f"{place}.category_id: there is no category {category_id!r}.")
        entries[identifier]["annotations"].append((place, annotation, categories[category_id]))
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
