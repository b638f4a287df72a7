"""SuperAnnotate's vector JSON: one file per image with ``metadata``, ``instances`` and ``tags``, in pixels."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from alcli.annotations import Annotation, Box, Keypoint, Polygon, Pose
from alcli.errors import DataError
from alcli.formats import Purpose
from alcli.formats._files import annotation_files, file_version, is_folder, read_text
from alcli.formats._names import ImageNames, Matched, file_claims, match_claims
from alcli.formats._objects import LINE, Objects, ellipse, hull, line
from alcli.formats._times import parse_times, seconds_of_work
from alcli.items import Refusal
from alcli.system.text import is_text

LARGEST_FILE = 64 * 2**20
OLD_ENDING = "___objects"
NOT_IMAGES = ("classes.json", "notes.json", "config.json", "workflow.json")
CUBOID_CORNERS = ("f1", "f2", "r1", "r2")


class Superannotate:
    """A folder of JSON files; ``x.jpg.json`` and the older ``x.jpg___objects.json`` belong to the image ``x.jpg``."""

    title = "SuperAnnotate"
    looks_like = "SuperAnnotate JSON files, one per image"
    purpose = Purpose()

    def __init__(self, path: Path) -> None:
        self._root = path
        self._matched: Matched[Path] = Matched()

    @classmethod
    def recognizes(cls, path: Path) -> bool:
        """Whether the first regular JSON file in the folder is in this format."""
        files = _files(path) if is_folder(path) else []
        first = next(filter(file_version, files), None)
        try:
            return bool(first and isinstance(_document(first).get("metadata"), dict))
        except DataError:
            return False

    @property
    def notes(self) -> list[str]:
        """What was overlooked in matching names."""
        return self._matched.notes

    def labeled(self, names: Sequence[str]) -> tuple[dict[str, str], list[Refusal]]:
        """Map each labeled image to its file's version; also return the files that match no or several images."""
        claims = file_claims("superannotate", self._root, _files(self._root), _image_keys)
        self._matched = match_claims(ImageNames(names, suffixes=True), claims)
        return self._matched.versions, self._matched.refusals

    def read(self, name: str) -> Annotation:
        """The annotation of one image; raises DataError naming an invalid instance."""
        return parse(name, _document(self._matched.source(name)), self.purpose)


def parse(item_id: str, document: dict[str, Any], purpose: Purpose = Purpose()) -> Annotation:  # noqa: B008 (frozen)
    """Parse one JSON document; instances of unknown kinds are passed over.

    Raises:
        DataError: an instance of a supported kind is invalid; the message says which.
    """
    parts: dict[type, list[Any]] = {Box: [], Pose: [], Polygon: [], str: []}
    size = _size(document.get("metadata"))
    objects = Objects(purpose, size)
    instances = document.get("instances") or []
    if not isinstance(instances, list):
        raise DataError(f"instances: expected a list, got {type(instances).__name__}")
    for number, instance in enumerate(instances):
        kind = instance.get("type") if isinstance(instance, dict) else None
        if not isinstance(kind, str) or kind not in READERS:
            objects.pass_over(kind if isinstance(kind, str) and is_text(kind) else "untyped object")
            continue
        try:
            part = READERS[kind](instance)
        except (DataError, KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise DataError(f"instance {number} ({kind}): {_reason(error)}") from None
        parts[type(part)].append(part)
    objects.add_labels([*parts[str], *_tags(document)])
    for part in (*parts[Box], *_merge_groups(parts[Polygon], instances), *parts[Pose]):
        objects.add(part)
    seconds = seconds_of_work(parse_times(map(_drawing_time, instances)))
    return objects.annotation(item_id, size, seconds=seconds)


def document(name: str, annotation: Annotation) -> dict[str, Any]:
    """Render the annotation of image ``name`` as a JSON document; masks are left out."""
    metadata: dict[str, Any] = {"name": name}
    if annotation.size:
        metadata["width"], metadata["height"] = annotation.size
    shapes: list[Polygon | Pose] = [*annotation.polygons, *annotation.poses]
    hulls = {hull(shape, annotation.size) for shape in shapes}
    instances = [
        *(_box_instance(box) for box in annotation.boxes if box not in hulls),
        *(_pose_instance(pose) for pose in annotation.poses),
        *(
            instance
            for number, polygon in enumerate(annotation.polygons, 1)
            for instance in _polygon_instances(polygon, number)
        ),
        *({"type": "tag", "className": label, "attributes": []} for label in annotation.labels),
    ]
    return {"metadata": metadata, "instances": instances, "tags": [], "comments": []}


# Reading


def _read_box(instance: dict[str, Any]) -> Box:
    points = instance["points"]
    xs, ys = (sorted(float(points[f"{axis}{end}"]) for end in (1, 2)) for axis in "xy")
    return Box(_label(instance), xs[0], ys[0], xs[1], ys[1], _score(instance))


def _read_rotated_box(instance: dict[str, Any]) -> Polygon:
    points = instance["points"]
    ring = tuple(float(points[f"{axis}{corner}"]) for corner in (1, 2, 3, 4) for axis in "xy")
    return Polygon(_label(instance), (ring,))


def _read_polygon(instance: dict[str, Any]) -> Polygon:
    holes = [ring for ring in instance.get("exclude") or () if ring]
    return Polygon(_label(instance), (_ring(instance["points"]),), tuple(_ring(hole) for hole in holes))


def _read_line(instance: dict[str, Any]) -> Pose:
    return line(_label(instance), _ring(instance["points"]))


def _read_cuboid(instance: dict[str, Any]) -> Pose:
    """The corners of a cuboid's front and rear side."""
    corners = [instance["points"][corner] for corner in CUBOID_CORNERS]
    return line(_label(instance), [float(corner[axis]) for corner in corners for axis in "xy"])


def _read_point(instance: dict[str, Any]) -> Pose:
    label = _label(instance)
    return Pose(label, (Keypoint(label, float(instance["x"]), float(instance["y"])),))


def _read_ellipse(instance: dict[str, Any]) -> Polygon:
    x, y, rx, ry = (float(instance[key]) for key in ("cx", "cy", "rx", "ry"))
    return ellipse(_label(instance), (x, y), (rx, ry), float(instance.get("angle") or 0))


def _read_template(instance: dict[str, Any]) -> Pose:
    """Joints are named by ``pointLabels``, by position; a joint without a label is named by its number."""
    names = instance.get("pointLabels") or {}
    keypoints = tuple(
        Keypoint(str(names.get(str(position)) or point.get("id") or position + 1), float(point["x"]), float(point["y"]))
        for position, point in enumerate(instance["points"])
    )
    return Pose(_label(instance), keypoints)


def _tags(document: dict[str, Any]) -> list[str]:
    """Labels of the whole image; tags that are not strings are skipped."""
    tags = document.get("tags") or []
    if not isinstance(tags, list):
        raise DataError(f"tags: expected a list, got {type(tags).__name__}")
    return [tag for tag in tags if isinstance(tag, str)]


def _read_tag(instance: dict[str, Any]) -> str:
    return _label(instance)


READERS: dict[str, Callable[[dict[str, Any]], Box | Polygon | Pose | str]] = {
    "bbox": _read_box,
    "rbbox": _read_rotated_box,
    "polygon": _read_polygon,
    "polyline": _read_line,
    "cuboid": _read_cuboid,
    "point": _read_point,
    "ellipse": _read_ellipse,
    "template": _read_template,
    "tag": _read_tag,
}


def _drawing_time(instance: Any) -> Any:
    """When a person drew the instance; None for a prediction or when it is not recorded."""
    by_hand = isinstance(instance, dict) and instance.get("creationType") == "Manual"
    return instance.get("createdAt") if by_hand else None


def _label(instance: dict[str, Any]) -> str:
    label = instance.get("className")
    if not isinstance(label, str) or not label:
        raise DataError("it has no className; was its class deleted?")
    return label


def _score(instance: dict[str, Any]) -> float | None:
    """The probability of a prediction, in [0, 1]; None for instances drawn by people."""
    if instance.get("creationType") != "Preannotation" or instance.get("probability") is None:
        return None
    percent = float(instance["probability"])
    if not 0 <= percent <= 100:
        raise DataError(f"probability: expected 0 to 100, got {percent:g}")
    return percent / 100


def _ring(points: Sequence[float]) -> tuple[float, ...]:
    return tuple(float(value) for value in points)


def _merge_groups(polygons: Sequence[Polygon], instances: Sequence[Any]) -> Iterator[Polygon]:
    """Merge the polygons of one group, which are parts of one object."""
    kinds = ("polygon", "rbbox", "ellipse")
    sources = [instance for instance in instances if isinstance(instance, dict) and instance.get("type") in kinds]
    groups: dict[Any, list[Polygon]] = {}
    for number, (polygon, instance) in enumerate(zip(polygons, sources, strict=True)):
        group = instance.get("groupId") or ("alone", number)
        if not isinstance(group, (int, str, tuple)):
            raise DataError(f"groupId: expected a number, got {type(group).__name__}")
        groups.setdefault((group, polygon.label), []).append(polygon)
    for members in groups.values():
        rings = tuple(ring for member in members for ring in member.rings)
        holes = tuple(hole for member in members for hole in member.holes)
        yield Polygon(members[0].label, rings, holes)


def _size(metadata: Any) -> tuple[int, int] | None:
    """(width, height) of the image; None if either is missing, as in about a third of real files."""
    values = [metadata.get(key) for key in ("width", "height")] if isinstance(metadata, dict) else [None]
    if not all(isinstance(value, (int, float)) and 1 <= value < math.inf for value in values):
        return None
    return int(values[0]), int(values[1])  # type: ignore[arg-type]


def _reason(error: Exception) -> str:
    if isinstance(error, DataError):
        return error.what
    return f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else str(error)


# Writing


def _instance(kind: str, label: str, score: float | None = None, **geometry: Any) -> dict[str, Any]:
    probability = {} if score is None else {"probability": round(100 * score, 2)}
    return {"type": kind, "className": label, "attributes": [], **probability, **geometry}


def _box_instance(box: Box) -> dict[str, Any]:
    return _instance("bbox", box.label, box.score, points={"x1": box.x1, "y1": box.y1, "x2": box.x2, "y2": box.y2})


def _pose_instance(pose: Pose) -> dict[str, Any]:
    joints = pose.keypoints
    if [joint.name for joint in joints] == [pose.label]:
        return _instance("point", pose.label, x=joints[0].x, y=joints[0].y)
    if all(joint.name == f"{LINE}{number}" for number, joint in enumerate(joints, 1)):
        return _instance("polyline", pose.label, points=[value for joint in joints for value in (joint.x, joint.y)])
    points = [{"id": number, "x": joint.x, "y": joint.y} for number, joint in enumerate(joints, 1)]
    names = {str(position): joint.name for position, joint in enumerate(joints)}
    return _instance("template", pose.label, points=points, connections=[], pointLabels=names)


def _polygon_instances(polygon: Polygon, group: int) -> Iterator[dict[str, Any]]:
    several = {"groupId": group} if len(polygon.rings) > 1 else {}
    for number, ring in enumerate(polygon.rings):
        holes = [list(hole) for hole in polygon.holes] if number == 0 else []
        yield _instance("polygon", polygon.label, points=list(ring), exclude=holes, **several)


# Files


def _files(folder: Path) -> list[Path]:
    return [path for path in annotation_files(folder, ".json") if path.name not in NOT_IMAGES]


def _image_keys(relative: PurePosixPath) -> list[str]:
    return [str(relative.with_suffix("")).removesuffix(OLD_ENDING)]


def _document(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(read_text(path, LARGEST_FILE))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path.name}: not JSON: {error}") from None
    if isinstance(content, list) and path.stem.endswith(OLD_ENDING):
        # The oldest exports hold the list of instances only.
        return {"metadata": {}, "instances": content}
    if not isinstance(content, dict):
        raise DataError(f"{path.name}: the root is a {type(content).__name__}, expected an object")
    return content
