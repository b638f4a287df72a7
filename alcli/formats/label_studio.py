"""Label Studio's JSON export: a list of tasks, with shapes in percent of the image."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from alcli.annotations import Annotation, Box, Mask, Polygon, Pose
from alcli.errors import DataError
from alcli.formats import Purpose
from alcli.formats._brush import decode_brush
from alcli.formats._coco_entries import load_json
from alcli.formats._files import annotation_files, dataset_files
from alcli.formats._names import Claim, ImageNames, Matched, match_claims, without_upload_marks
from alcli.formats._objects import Objects, ellipse, line, turn
from alcli.items import MOST_PIXELS, Refusal
from alcli.system.hashing import sha256_of_text
from alcli.system.text import is_text

WITHOUT_SHAPE = frozenset({"relation", "textarea", "rating", "number"})
Size = tuple[int, int]
Part = Box | Polygon | Mask | Pose | tuple[str, ...]
CHANNELS = 4
"""Red, green, blue and opacity of a painted pixel."""


class LabelStudio:
    """One JSON file or a folder of them; an image is labeled when its task has an annotation that was not cancelled.

    Turned rectangles and ellipses are polygons, brush strokes are masks. For detection all of them give their boxes;
    single points are passed over.
    """

    title = "Label Studio"
    tasks = frozenset({"classification", "detection", "segmentation"})
    looks_like = "Label Studio's JSON export"
    purpose = Purpose()

    def __init__(self, path: Path) -> None:
        self._path = path
        self._matched: Matched[list[dict[str, Any]]] = Matched()

    @classmethod
    def recognizes(cls, path: Path) -> bool:
        """Whether it is a JSON file, or a folder with one, that holds a list of tasks."""
        return any(_is_export(file) for file in annotation_files(path, ".json") if file.suffix.lower() == ".json")

    @property
    def notes(self) -> list[str]:
        """What was overlooked in matching names."""
        return self._matched.notes

    def labeled(self, names: Sequence[str]) -> tuple[dict[str, str], list[Refusal]]:
        """Map each annotated image to a hash of its annotations; also return the tasks that match no image."""
        files, refusals = dataset_files(self._path, ".json", "label-studio")
        claims = [claim for path in files for claim in _claims(path)]
        self._matched = match_claims(ImageNames(names, suffixes=True), claims)
        return self._matched.versions, [*self._matched.refusals, *refusals]

    def read(self, name: str) -> Annotation:
        """The objects of one image; raises DataError naming an invalid one, or when two people annotated it."""
        annotations = self._matched.source(name)
        if len(annotations) > 1:
            raise DataError(f"its task has {len(annotations)} annotations; keep one of them")
        given = annotations[0].get("result")
        results = given if isinstance(given, list) else []
        sizes = [size for result in results if isinstance(result, dict) and (size := _size(result))]
        size = sizes[0] if sizes else (0, 0)
        objects = Objects(self.purpose, size)
        for number, result in enumerate(results):
            kind = result.get("type") if isinstance(result, dict) else None
            if isinstance(kind, str) and kind in WITHOUT_SHAPE:
                continue
            if kind not in READERS:
                raise DataError(
                    f"result {number}: alcli does not read {kind!r} of Label Studio; export the set as COCO"
                )
            try:
                part = READERS[kind](result["value"], _size(result) or size)
            except (DataError, KeyError, TypeError, ValueError, IndexError) as error:
                reason = error.what if isinstance(error, DataError) else f"{type(error).__name__}: {error}"
                raise DataError(f"result {number} ({kind}): {reason}") from None
            if isinstance(part, tuple):
                objects.add_labels(part)
            else:
                objects.add(part)
        return objects.annotation(name, size if all(size) else None)


def _tasks(path: Path) -> list[dict[str, Any]]:
    """The tasks in a file; empty for any other JSON, raises DataError for a file that cannot be read."""
    content = load_json(path)
    tasks = content if isinstance(content, list) else []
    whole = all(isinstance(task, dict) and isinstance(task.get("data"), dict) for task in tasks)
    return tasks if whole else []


def _is_export(path: Path) -> bool:
    try:
        return bool(_tasks(path))
    except DataError:
        return False


def _claims(path: Path) -> Iterator[Claim[list[dict[str, Any]]]]:
    for number, task in enumerate(_tasks(path)):
        given = task.get("annotations")
        annotations = [
            annotation
            for annotation in (given if isinstance(given, list) else [])
            if isinstance(annotation, dict) and not annotation.get("was_cancelled")
        ]
        texts = [text for text in task["data"].values() if isinstance(text, str) and is_text(text)]
        if annotations:
            version = sha256_of_text(json.dumps(annotations, sort_keys=True))
            keys = [key for text in texts for key in _image_keys(text)]
            name = texts[0] if texts else f"{path.name}: task {number}"
            yield Claim(f"label-studio:{path.name}:{number}", name, keys, annotations, version)


def _image_keys(address: str) -> list[str]:
    """Image names in an address, such as ``/data/local-files/?d=sub/x.jpg`` or ``/data/upload/1a2b3c4d-x.jpg``."""
    path = address.rpartition("?d=")[2]
    bare = without_upload_marks(path)
    return [path, bare] if bare else [path]


def _read_rectangle(value: dict[str, Any], size: Size) -> Box | Polygon:
    """Read a rectangle, which is turned clockwise around its upper left corner."""
    label = _label(value, "rectanglelabels")
    x, y = _pixels(value["x"], size[0]), _pixels(value["y"], size[1])
    width, height = _pixels(value["width"], size[0]), _pixels(value["height"], size[1])
    angle = float(value.get("rotation") or 0)
    if not angle:
        return Box(label, x, y, x + width, y + height)
    corners = [(x, y), (x + width, y), (x + width, y + height), (x, y + height)]
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


def _label(value: dict[str, Any], key: str) -> str:
    labels = value.get(key)
    if not isinstance(labels, list) or len(labels) != 1 or not isinstance(labels[0], str):
        raise DataError(f"expected one label, got {labels!r}")
    return labels[0]


def _pixels(percent: Any, side: int) -> float:
    if not side:
        raise DataError("original_width or original_height is missing")
    return float(percent) / 100 * side


def _size(result: dict[str, Any]) -> Size | None:
    width, height = result.get("original_width"), result.get("original_height")
    return (width, height) if type(width) is int and type(height) is int and min(width, height) > 0 else None
