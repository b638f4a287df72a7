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
from alcli.system.text import is_text

INVISIBLE, VISIBLE = 1, 2


class Coco:
    """One JSON file; an image is labeled when it is listed, even without annotations.

    An annotation is read as a box, a pose when it has keypoints, and its polygons or run-length mask. Crowd regions
    have no box; the pixels of their masks are ignored.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._entries: dict[str, dict[str, Any]] = {}

    @classmethod
    def recognizes(cls, path: Path) -> bool:
        """Whether the file name ends in .json."""
        return path.is_file() and path.suffix.lower() == ".json"

    def labeled(self, names: Sequence[str]) -> tuple[dict[str, str], list[Refusal]]:
        """Map each listed image to a hash of its entries; also return the entries that match no or several images.

        Raises:
            DataError: the file is not valid COCO; the message says where.
        """
        images = ImageNames(names, suffixes=True)
        versions: dict[str, str] = {}
        refusals: list[Refusal] = []
        for entry in _entries(_document(self._path)):
            # The hash leaves out positions in the file, which change when it is sorted differently.
            content = [(raw, label) for _, raw, label in entry["annotations"]]
            version = sha256_of_text(json.dumps({**entry, "annotations": content}, sort_keys=True))
            matches = images.find(entry["file_name"])
            if len(matches) == 1 and matches[0] not in versions:
                versions[matches[0]] = version
                self._entries[matches[0]] = entry
            else:
                refusals.append(_refusal(entry, matches, version))
        return versions, refusals

    def read(self, name: str) -> Annotation:
        """The annotations of one image; raises DataError naming an invalid one."""
        entry = self._entries[name]
        size = (entry["width"], entry["height"])
        boxes, poses, polygons, masks = [], [], [], []
        for where, raw, category in entry["annotations"]:
            label = IGNORED if raw.get("iscrowd") else category["name"]
            region = parts.parse_region(where, raw, label, size)
            if isinstance(region, Polygon):
                polygons.append(region)
            elif isinstance(region, Mask):
                masks.append(region)
            if raw.get("iscrowd"):
                continue
            # An annotation without any geometry is refused for its missing bbox.
            has_box = "bbox" in raw or (region is None and "keypoints" not in raw)
            box = parts.parse_box(where, raw, label) if has_box else None
            boxes += [box] if box else []
            if "keypoints" in raw:
                poses.append(parts.parse_pose(where, raw, label, category["keypoints"], box))
        return Annotation(
            name, tuple(boxes), size if all(size) else None, (), tuple(poses), tuple(polygons), tuple(masks)
        )


def write(path: Path, annotations: Mapping[str, Annotation]) -> None:
    """Write annotations, by image name, as one COCO file, atomically.

    Raises:
        DataError: a polygon has holes, which COCO polygons cannot represent.
    """
    poses = [pose for annotation in annotations.values() for pose in annotation.poses]
    joints = sorted({joint.name for pose in poses for joint in pose.keypoints})
    classes = sorted(set().union(*(annotation.class_names() for annotation in annotations.values())))
    numbers = {name: number for number, name in enumerate(classes, 1)}
    images: list[dict[str, Any]] = []
    entries: list[dict[str, Any]] = []
    for image, (name, annotation) in enumerate(annotations.items(), 1):
        size = dict(zip(("width", "height"), annotation.size, strict=True)) if annotation.size else {}
        images.append({"id": image, "file_name": name, **size})
        for label, content in _render_objects(annotation, joints):
            ids = {"id": len(entries) + 1, "image_id": image, "category_id": numbers.get(label, 1)}
            entries.append({**ids, "iscrowd": int(label == IGNORED), **content})
    categories = [{"id": number, "name": name, "keypoints": joints} for name, number in numbers.items()]
    with atomic_write(path, permissions=SHARED) as stream:
        json.dump({"images": images, "annotations": entries, "categories": categories}, stream)


def _render_objects(annotation: Annotation, joints: Sequence[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    pose_boxes = [pose.box for pose in annotation.poses]
    for box in annotation.boxes:
        if box not in pose_boxes:
            yield box.label, {"bbox": [box.x1, box.y1, box.x2 - box.x1, box.y2 - box.y1]}
    for pose in annotation.poses:
        yield pose.label, _render_pose(pose, joints)
    for polygon in annotation.polygons:
        if polygon.holes:
            raise DataError(f"polygon of class {polygon.label!r} has holes, which COCO polygons cannot represent")
        yield polygon.label, {"segmentation": [list(ring) for ring in polygon.rings]}
    for mask in annotation.masks:
        yield mask.label, {"segmentation": {"size": list(mask.size[::-1]), "counts": mask.counts}}


def _render_pose(pose: Pose, joints: Sequence[str]) -> dict[str, Any]:
    marked = {joint.name: joint for joint in pose.keypoints}
    flat: list[float] = []
    for name in joints:
        joint = marked.get(name)
        flat += [joint.x, joint.y, VISIBLE if joint.visible else INVISIBLE] if joint else [0, 0, 0]
    content: dict[str, Any] = {"keypoints": flat, "num_keypoints": len(marked)}
    if pose.box:
        content["bbox"] = [pose.box.x1, pose.box.y1, pose.box.x2 - pose.box.x1, pose.box.y2 - pose.box.y1]
    return content


def _refusal(entry: dict[str, Any], matches: list[str], version: str) -> Refusal:
    file_name = entry["file_name"]
    if not matches:
        reason = "annotation without an image"
    elif len(matches) > 1:
        reason = f"could belong to {' or '.join(matches)}; write the folder into file_name"
    else:
        reason = f"{matches[0]} is listed twice"
    return Refusal(f"coco:{entry['id']}", file_name, reason, version)


def _document(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"{path} is not JSON: {error}.", do="Export it again; perhaps the file was only partly copied."
        ) from None
    if not isinstance(document, dict):
        raise DataError(f"{path}: the root is a {type(document).__name__}, expected an object.")
    return document


def _entries(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield one entry per image: id, file_name, width, height and annotations.

    Each annotation is (where it is in the file, its raw content, its category with name and keypoints).
    """
    categories = {}
    for where, category in _objects(document, "categories"):
        identifier = _field(category, "id", (int, str), where)
        if identifier in categories:
            raise DataError(f"{where}.id: {identifier!r} occurs twice.", do="Give every category its own id.")
        name = _field(category, "name", (str,), where)
        categories[identifier] = {"name": name, "keypoints": parts.parse_joint_names(where, category)}
    entries: dict[Any, dict[str, Any]] = {}
    for where, image in _objects(document, "images"):
        identifier = _field(image, "id", (int, str), where)
        if identifier in entries:
            raise DataError(f"{where}.id: {identifier!r} occurs twice.", do="Give every image its own id.")
        name = _field(image, "file_name", (str,), where)
        if not is_text(name):
            raise DataError(f"{where}.file_name: {name!r} is not valid text.")
        size = {key: image.get(key) if isinstance(image.get(key), int) else 0 for key in ("width", "height")}
        entries[identifier] = {"id": identifier, "file_name": name.removeprefix("./"), **size, "annotations": []}
    for where, annotation in _objects(document, "annotations"):
        identifier = _field(annotation, "image_id", (int, str), where)
        if identifier not in entries:
            raise DataError(f"{where}.image_id: there is no image {identifier!r}.")
        category_id = _field(annotation, "category_id", (int, str), where)
        if category_id not in categories:
            raise DataError(f"{where}.category_id: there is no category {category_id!r}.")
        entries[identifier]["annotations"].append((where, annotation, categories[category_id]))
    yield from entries.values()


def _objects(document: dict[str, Any], key: str) -> Iterator[tuple[str, dict[str, Any]]]:
    entries = document.get(key)
    if not isinstance(entries, list):
        raise DataError(f"{key}: expected a list, got {type(entries).__name__}.", do="Is this a COCO file?")
    for number, entry in enumerate(entries):
        if not isinstance(entry, dict):
            raise DataError(f"{key}[{number}]: expected an object, got {type(entry).__name__}.")
        yield f"{key}[{number}]", entry


def _field(entry: dict[str, Any], key: str, kinds: tuple[type, ...], where: str) -> Any:
    value = entry.get(key)
    if not isinstance(value, kinds) or isinstance(value, bool):
        raise DataError(f"{where}.{key}: expected {' or '.join(kind.__name__ for kind in kinds)}, got {value!r}.")
    return value
