"""COCO: one JSON file with images, annotations and categories; boxes as [x, y, width, height] in pixels."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from alcli.annotations import CROWD, IGNORED, Annotation, Box, Pose
from alcli.errors import DataError
from alcli.formats import Purpose
from alcli.formats import _coco_parts as parts
from alcli.formats._coco_entries import Category, Entry, coco_document, load_document, read_entries
from alcli.formats._coco_listings import Listing, merge_listings
from alcli.formats._files import annotation_files, dataset_files, is_file, is_folder, read_head
from alcli.formats._foreign import EXPORT, describe_document
from alcli.formats._names import Claim, ImageNames, Matched, match_claims
from alcli.formats._objects import Objects, turned_box
from alcli.items import Refusal
from alcli.system.files import SHARED, atomic_write
from alcli.system.hashing import sha256_of_text
from alcli.system.text import readable

INVISIBLE, VISIBLE = 1, 2
Part = TypeVar("Part")
HEAD = 64


class Coco:
    """One JSON file, or a folder of them; an image is labeled when it is listed, even without annotations.

    An annotation is read as a box, a pose when it has keypoints, and its polygons or run-length mask. Crowd regions
    are passed over and the pixels of their masks are ignored, unless ``purpose.crowds`` makes them objects: CVAT writes
    every brush mask as a crowd. Parts that the task does not read may be invalid.
    """

    title = "COCO"
    tasks = frozenset({"detection", "pose", "segmentation"})
    looks_like = "COCO JSON files"
    purpose = Purpose()

    def __init__(self, path: Path) -> None:
        self._path = path
        self._matched: Matched[Entry] = Matched()

    @classmethod
    def recognizes(cls, path: Path) -> bool:
        """Whether it is a JSON file, unless it holds a list, or a folder with JSON files in COCO's layout."""
        if is_folder(path):
            return any(map(_is_coco, annotation_files(path, ".json")))
        if path.suffix.lower() != ".json" or not is_file(path):
            return False
        return not read_head(path, HEAD).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"[")

    @property
    def notes(self) -> list[str]:
        """What was overlooked in matching names."""
        return self._matched.notes

    def labeled(self, names: Sequence[str]) -> tuple[dict[str, str], list[Refusal]]:
        """Map each listed image to a hash of its entries; also return the entries that match no or several images.

        Raises:
            DataError: a file is not COCO; the message says where.
        """
        listings: list[Listing] = []
        files, refusals = dataset_files(self._path, ".json", "coco")
        for source, folder, document in self._documents(files):
            entries, broken = read_entries(document, source)
            listings += [Listing(source, folder, entry) for entry in entries]
            refusals += broken
        claims = [_claim(listing) for listing in merge_listings(listings)]
        advice = "write the folder into file_name"
        self._matched = match_claims(ImageNames(names, suffixes=True), claims, ambiguous=advice)
        return self._matched.versions, [*self._matched.refusals, *refusals]

    def read(self, name: str) -> Annotation:
        """The annotations of one image; raises DataError naming an invalid one."""
        entry = self._matched.source(name)
        if entry.problem:
            raise DataError(entry.problem)
        objects = Objects(self.purpose, entry.size)
        for where, raw, category in entry.objects:
            if raw.get("iscrowd") and not self.purpose.crowds:
                objects.pass_over(CROWD)
                region = self._read_unless_unused(raw, parts.parse_region, where, raw, IGNORED, entry.size)
                if region:
                    objects.add_region(region)
                continue
            label = category.name
            region = self._read_unless_unused(raw, parts.parse_region, where, raw, label, entry.size)
            # An annotation without any geometry is refused for its missing bbox.
            has_box = parts.has_box(raw) or (region is None and not raw.get("keypoints"))
            box = parts.parse_box(where, raw, label) if has_box else None
            if box and region is None and (angle := parts.parse_rotation(raw)):
                region, box = turned_box(label, (box.x1, box.y1, box.x2, box.y2), angle), None
            pose = None
            if raw.get("keypoints"):
                pose = self._read_unless_unused(raw, _parse_pose, where, raw, category, box)
            objects.add(box, region, pose)
        return objects.annotation(name, entry.size if all(entry.size) else None)

    def _read_unless_unused(self, raw: dict[str, Any], parse: Callable[..., Part], *arguments: Any) -> Part | None:
        """Parse a part; None for an invalid one of an object of which detection reads the box."""
        try:
            return parse(*arguments)
        except DataError:
            if self.purpose.task == "detection" and raw.get("bbox"):
                return None
            raise

    def _documents(self, files: Sequence[Path]) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """Yield (file name, its folder relative to the root, content) of each file."""
        for path in files:
            if path == self._path:
                document = load_document(path)
                if what := describe_document(document):
                    raise DataError(f"{path} is {what}, which alcli does not read.", do=EXPORT)
                yield "", ".", document
            elif content := coco_document(path):
                yield path.name, readable(path.parent.relative_to(self._path).as_posix()), content


def _parse_pose(where: str, raw: dict[str, Any], category: Category, box: Box | None) -> Pose | None:
    if category.problem:
        raise DataError(category.problem)
    return parts.parse_pose(where, raw, category.name, category.joints, box)


def _is_coco(path: Path) -> bool:
    try:
        return bool(coco_document(path))
    except DataError:
        return False


def _claim(listing: Listing) -> Claim[Entry]:
    """An entry's claim on its image; the hash leaves out positions in the file, which change with its order."""
    entry, folder = listing.entry, listing.folder
    content = [(raw, category.content) for _, raw, category in entry.objects]
    version = sha256_of_text(json.dumps({**entry.content, "annotations": content}, sort_keys=True))
    keys = [f"{folder}/{entry.file_name}", entry.file_name] if folder != "." else [entry.file_name]
    identifier = f"{listing.source}: {entry.id}" if listing.source else entry.id
    return Claim(f"coco:{identifier}", entry.file_name, keys, entry, version)


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
