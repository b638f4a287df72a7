"""Label Studio's results: the shapes, in percent of the image, and the choices of one annotation; read and written."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from alcli.annotations import IGNORED, Annotation, Box, Keypoint, Mask, Polygon, Pose
from alcli.errors import DataError
from alcli.formats import Purpose
from alcli.formats._brush import decode_brush, encode_brush
from alcli.formats._objects import Objects, ellipse, line, turn
from alcli.items import MOST_PIXELS

WITHOUT_SHAPE = frozenset({"relation", "textarea", "rating", "number"})
CHANNELS = 4
"""Red, green, blue and opacity of a painted pixel."""
POINT_WIDTH = 0.5
"""Diameter of a drawn point, in percent of the image."""
PERSON = "person"
"""The class of a pose whose points lie in no region."""
CLOCKWISE = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))
Size = tuple[int, int]
Part = Box | Polygon | Mask | Pose | tuple[str, ...]
Result = Mapping[str, Any]


@dataclass(frozen=True)
class Control:
    """One control of a labeling interface.

    Attributes:
        kind: its tag, such as ``RectangleLabels``.
        name: its own name, ``from_name`` in results.
        image: the name of the image that it belongs to, ``to_name`` in results.
        labels: the labels or choices that it offers.
    """

    kind: str
    name: str
    image: str
    labels: tuple[str, ...] = ()


def read_results(name: str, given: object, purpose: Purpose, seconds: float | None = None) -> Annotation:
    """The objects of one annotation, with ``name`` as ``item_id``.

    Turned rectangles and ellipses are polygons, brush strokes are masks. For detection all of them give their boxes.
    For poses, the points in one region are one person, and all points outside regions are another; elsewhere single
    points are passed over.

    Args:
        given: the ``result`` of the annotation.
        seconds: how long the annotator worked on it.

    Raises:
        DataError: a result that cannot be read, by its number; a joint that one person has twice.
    """
    results: list[Any] = given if isinstance(given, list) else []
    sizes = [size for result in results if isinstance(result, dict) and (size := _size(result))]
    size = sizes[0] if sizes else (0, 0)
    objects = Objects(purpose, size)
    points = [result for result in results if _is_joint(result)] if purpose.task == "pose" else []
    regions = {result["parentID"] for result in points if result.get("parentID")}
    boxes: dict[str, Box] = {}
    for number, result in enumerate(results):
        if points and _is_joint(result):
            continue
        part = _read_part(number, result, size)
        if isinstance(part, Box) and result.get("id") in regions:
            boxes[result["id"]] = part
        elif isinstance(part, tuple):
            objects.add_labels(part)
        elif part is not None:
            objects.add(part)
    for pose in _poses(points, boxes, size):
        objects.add(pose)
    return objects.annotation(name, size if all(size) else None, seconds=seconds)


def working_seconds(document: Mapping[str, Any]) -> float | None:
    """How long the annotator worked on an annotation, its ``lead_time``; None if it is no positive number."""
    seconds = document.get("lead_time")
    if not isinstance(seconds, (int, float)) or isinstance(seconds, bool) or not 0 < seconds < math.inf:
        return None
    return float(seconds)


def _read_part(number: int, result: Any, size: Size) -> Part | None:
    """One object or the choices for the image; None for what is neither."""
    kind = _kind(result)
    if kind in WITHOUT_SHAPE:
        return None
    if kind not in READERS:
        raise DataError(f"result {number}: alcli does not read {kind!r} of Label Studio; export the set as COCO")
    try:
        return READERS[kind](result["value"], _size(result) or size)
    except (DataError, KeyError, TypeError, ValueError, IndexError) as error:
        reason = error.what if isinstance(error, DataError) else f"{type(error).__name__}: {error}"
        raise DataError(f"result {number} ({kind}): {reason}") from None


def _kind(result: Any) -> str:
    """The type of a result; the general ``labels`` have the type of their shape."""
    kind = result.get("type") if isinstance(result, dict) else None
    value = result.get("value") if isinstance(result, dict) else None
    if kind == "labels" and isinstance(value, dict):
        return next((name for key, name in SHAPES.items() if key in value), "labels")
    if kind in BARE_SHAPES or (kind == "choices" and isinstance(value, dict) and SHAPES.keys() & value.keys()):
        # A shape is repeated with its label; a choice that belongs to a region says nothing about the image.
        return "relation"
    return str(kind)


def _is_joint(result: Any) -> bool:
    return _kind(result) == "keypointlabels"


def _poses(points: Sequence[Result], boxes: Mapping[str, Box], size: Size) -> Iterable[Pose]:
    """Group the points by the region that they belong to."""
    groups: dict[str, list[Keypoint]] = {}
    for result in points:
        sides = _size(result) or size
        try:
            value = result["value"]
            x, y = _pixels(value["x"], sides[0]), _pixels(value["y"], sides[1])
            joint = Keypoint(_label(value, "keypointlabels"), x, y)
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"a point cannot be read: {type(error).__name__}: {error}") from None
        groups.setdefault(str(result.get("parentID") or ""), []).append(joint)
    for region, joints in groups.items():
        box = boxes.get(region)
        names = [joint.name for joint in joints]
        if not region and len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise DataError(
                f"the joint {twice!r} occurs twice; put the points of each person into a region of their own"
            )
        yield Pose(box.label if box else PERSON, tuple(joints), box)


def _read_rectangle(value: dict[str, Any], size: Size) -> Box | Polygon:
    """Read a rectangle, which is turned clockwise around its upper left corner."""
    label = _label(value, "rectanglelabels")
    x, y = _pixels(value["x"], size[0]), _pixels(value["y"], size[1])
    width, height = _pixels(value["width"], size[0]), _pixels(value["height"], size[1])
    angle = float(value.get("rotation") or 0)
    if not angle:
        return Box(label, x, y, x + width, y + height)
    corners = [(x + right * width, y + down * height) for right, down in CLOCKWISE]
    return Polygon(label, (turn(corners, (x, y), angle),))


def _read_ellipse(value: dict[str, Any], size: Size) -> Polygon:
    """Read an ellipse, which is turned clockwise around its center."""
    center = (_pixels(value["x"], size[0]), _pixels(value["y"], size[1]))
    radii = (_pixels(value["radiusX"], size[0]), _pixels(value["radiusY"], size[1]))
    return ellipse(_label(value, "ellipselabels"), center, radii, float(value.get("rotation") or 0))


def _read_keypoint(value: dict[str, Any], size: Size) -> Pose:
    label = _label(value, "keypointlabels")
    return line(label, (_pixels(value["x"], size[0]), _pixels(value["y"], size[1])))


def _read_brush(value: dict[str, Any], size: Size) -> Mask:
    """Read a mask painted with a brush; a pixel belongs to it when it is not transparent."""
    label = _label(value, "brushlabels")
    width, height = size
    if not all(size) or width * height > MOST_PIXELS:
        raise DataError("original_width or original_height is missing or too large")
    if not isinstance(value["rle"], list):
        raise DataError("rle is not a list")
    channels = decode_brush(bytes(value["rle"]), width * height * CHANNELS)
    pixels = channels.reshape(height, width, CHANNELS)[:, :, -1] > 0  # (height, width)
    packed = coco_mask.encode(np.asfortranarray(pixels, dtype=np.uint8))
    return Mask(label, packed["counts"].decode("ascii"), size)


def _read_polygon(value: dict[str, Any], size: Size) -> Polygon:
    label = _label(value, "polygonlabels")
    ring = [corner for x, y in value["points"] for corner in (_pixels(x, size[0]), _pixels(y, size[1]))]
    return Polygon(label, (tuple(ring),))


def _read_choices(value: dict[str, Any], size: Size) -> tuple[str, ...]:
    return tuple(str(choice) for choice in value["choices"])


READERS: dict[str, Callable[[dict[str, Any], Size], Part]] = {
    "rectanglelabels": _read_rectangle,
    "polygonlabels": _read_polygon,
    "ellipselabels": _read_ellipse,
    "brushlabels": _read_brush,
    "keypointlabels": _read_keypoint,
    "choices": _read_choices,
}
SHAPES = {
    "rle": "brushlabels",
    "points": "polygonlabels",
    "radiusX": "ellipselabels",
    "height": "rectanglelabels",
    "x": "keypointlabels",
}
"""What tells the shape of a value, the surest first."""
BARE_SHAPES = frozenset({"rectangle", "polygon", "ellipse", "brush", "keypoint"})


def write_results(annotation: Annotation, size: Size, controls: Sequence[Control]) -> list[dict[str, Any]]:
    """The objects that these controls can show, as results.

    Args:
        annotation: in pixels of the upright image.
        size: (width, height) of the image.
    """
    by_kind = {control.kind: control for control in reversed(controls)}
    values = [
        *(("RectangleLabels", _box_value(box, size), box.label, box.score) for box in annotation.boxes),
        *(("PolygonLabels", value, polygon.label, None)
          for polygon in annotation.polygons for value in _polygon_values(polygon, size)),
        *(("KeyPointLabels", _point_value(joint, size), joint.name, joint.score)
          for pose in annotation.poses for joint in pose.keypoints),
        *(("BrushLabels", _brush_value(mask), mask.label, None) for mask in annotation.masks if mask.label != IGNORED),
    ]  # fmt: skip
    results = []
    for number, (kind, value, label, score) in enumerate(values):
        control = by_kind.get(kind) or by_kind.get("Labels")
        if control and label in (control.labels or (label,)):
            key = control.kind.lower()
            named = {**value, key: [label]}
            results.append(_result(f"alcli-{number}", control, key, named, size, score))
    if annotation.labels and (choices := by_kind.get("Choices")):
        score = max(annotation.label_scores, default=None)
        results.append(_result("alcli-choice", choices, "choices", {"choices": list(annotation.labels)}, size, score))
    return results


def _result(
    number: str, control: Control, kind: str, value: Mapping[str, Any], size: Size, score: float | None
) -> dict[str, Any]:
    sides = {"original_width": size[0], "original_height": size[1], "image_rotation": 0}
    result = {"id": number, "from_name": control.name, "to_name": control.image, "type": kind, "value": dict(value)}
    return {**result, **sides, **({} if score is None else {"score": score})}


def _box_value(box: Box, size: Size) -> dict[str, float]:
    x, y = _percent(box.x1, size[0]), _percent(box.y1, size[1])
    return {"x": x, "y": y, "width": _percent(box.x2 - box.x1, size[0]), "height": _percent(box.y2 - box.y1, size[1]),
            "rotation": 0}  # fmt: skip


def _polygon_values(polygon: Polygon, size: Size) -> list[dict[str, Any]]:
    """One value for each outer ring; Label Studio knows no holes."""
    pairs = (zip(ring[::2], ring[1::2], strict=True) for ring in polygon.rings)
    return [
        {"points": [[_percent(x, size[0]), _percent(y, size[1])] for x, y in ring], "closed": True} for ring in pairs
    ]


def _point_value(joint: Keypoint, size: Size) -> dict[str, float]:
    return {"x": _percent(joint.x, size[0]), "y": _percent(joint.y, size[1]), "width": POINT_WIDTH}


def _brush_value(mask: Mask) -> dict[str, Any]:
    opaque = np.repeat(mask.pixels().ravel() * 255, CHANNELS).astype(np.uint8)  # every channel of a pixel alike
    return {"format": "rle", "rle": encode_brush(opaque)}


def _percent(pixels: float, side: int) -> float:
    return 100 * pixels / side


def _label(value: dict[str, Any], key: str) -> str:
    labels = value.get(key) or value.get("labels")
    if not isinstance(labels, list) or len(labels) != 1 or not isinstance(labels[0], str):
        raise DataError(f"expected one label, got {labels!r}")
    return labels[0]


def _pixels(percent: Any, side: int) -> float:
    if not side:
        raise DataError("original_width or original_height is missing")
    return float(percent) / 100 * side


def _size(result: Any) -> Size | None:
    width, height = (result.get(key) for key in ("original_width", "original_height"))
    return (width, height) if type(width) is int and type(height) is int and min(width, height) > 0 else None
