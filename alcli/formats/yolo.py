"""YOLO: ``data.yaml`` with the class names, and a text file per image with coordinates relative to its size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from reprlib import repr as shortened
from typing import Any

import yaml

from alcli.annotations import Annotation, Box, Keypoint, Polygon, Pose
from alcli.errors import DataError
from alcli.formats._names import ImageNames
from alcli.items import Refusal
from alcli.system.files import SHARED, atomic_write

DESCRIPTION = "data.yaml"
LABELS, IMAGES = "labels", "images"
LARGEST_DESCRIPTION = 2**20
MOST_JOINTS = 1000
SLACK = 0.01
"""Tolerance for coordinates that leave [0, 1] by rounding; the task decides how far a box may leave the image."""


class Yolo:
    """A dataset with ``data.yaml``; an image is labeled when its text file exists, even if it is empty.

    A line is ``class x y width height`` (x and y of the center), followed by the joints if there is a ``kpt_shape``, or
    ``class x y x y …`` for a polygon. ``labels/sub/x.txt`` belongs to ``images/sub/x.jpg``, to ``sub/x.jpg`` or to the
    only image named ``x``.
    """

    def __init__(self, path: Path) -> None:
        self._yaml = path / DESCRIPTION if path.is_dir() else path
        self._root = self._yaml.parent
        self._files: dict[str, Path] = {}
        self._classes: list[str] = []
        self._joints: tuple[list[str], int] = ([], 0)

    @classmethod
    def recognizes(cls, path: Path) -> bool:
        """Whether it is a folder with data.yaml, or a file whose name ends in .yaml or .yml."""
        return (path / DESCRIPTION).is_file() or (path.is_file() and path.suffix.lower() in (".yaml", ".yml"))

    def labeled(self, names: Sequence[str]) -> tuple[dict[str, str], list[Refusal]]:
        """Map each labeled image to its file's version; also return the files that match no or several images.

        Raises:
            DataError: data.yaml does not name the classes.
        """
        content = _description(self._yaml)
        self._classes, self._joints = _names(content, self._yaml), _joints(content, self._yaml)
        images = ImageNames(names, suffixes=False)
        versions: dict[str, str] = {}
        refusals: list[Refusal] = []
        stamp = self._yaml.stat().st_mtime_ns
        for path in _text_files(self._root):
            relative = path.relative_to(self._root)
            matches = _find_image(images, relative)
            facts = path.stat()
            version = f"{facts.st_size}-{facts.st_mtime_ns}-{stamp}"
            if len(matches) == 1 and matches[0] not in versions:
                versions[matches[0]] = version
                self._files[matches[0]] = path
            else:
                reason = f"could belong to {' or '.join(matches)}" if matches else "annotation without an image"
                refusals.append(Refusal(f"yolo:{relative.as_posix()}", relative.as_posix(), reason, version))
        return versions, refusals

    def read(self, name: str) -> Annotation:
        """The objects of one image, relative to its size; raises DataError naming an invalid line."""
        path = self._files[name]
        boxes, poses, polygons = [], [], []
        for number, line in enumerate(_lines(path), 1):
            if not line.strip():
                continue
            try:
                part = self._parse_object(line.split())
            except DataError as error:
                raise DataError(f"{path.name}:{number}: {error.what}") from None
            if isinstance(part, Polygon):
                polygons.append(part)
            elif isinstance(part, Pose):
                poses.append(part)
                boxes += [part.box] if part.box else []
            else:
                boxes.append(part)
        return Annotation(
            name, tuple(boxes), poses=tuple(poses), polygons=tuple(polygons), relative=bool(boxes or polygons)
        )

    def _parse_object(self, words: Sequence[str]) -> Box | Pose | Polygon:
        label = self._label(words[0])
        values = [_share(word) for word in words[1:]] if not self._joints[0] else [_number(word) for word in words[1:]]
        joints, dimensions = self._joints
        if joints and len(values) == 4 + len(joints) * dimensions:
            return Pose(label, _keypoints(values[4:], joints, dimensions), _box(label, values[:4]))
        if len(values) == 4:
            return _box(label, values)
        if joints:
            raise DataError(f"{len(words)} values, expected 5 or {5 + len(joints) * dimensions}")
        if len(values) % 2:
            raise DataError(f"{len(words)} values: expected 5 for a box, or an odd number from 7 for a polygon")
        return Polygon(label, (tuple(values),))

    def _label(self, word: str) -> str:
        if not word.isdecimal() or len(word) > 9 or int(word) >= len(self._classes):
            raise DataError(f"class {shortened(word)} is not in data.yaml, which lists 0 to {len(self._classes) - 1}")
        return self._classes[int(word)]


def write(root: Path, annotations: Mapping[str, Annotation]) -> None:
    """Write boxes and polygons, by image name, as ``data.yaml`` and ``labels/NAME.txt``, each atomically.

    Raises:
        DataError: an annotation in pixels lacks the size of its image.
    """
    classes = sorted(set().union(*(annotation.class_names() for annotation in annotations.values())))
    for name, annotation in annotations.items():
        path = (root / LABELS / name).with_suffix(".txt")
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path, permissions=SHARED) as stream:
            stream.write("".join(f"{line}\n" for line in _render_lines(name, annotation, classes)))
    with atomic_write(root / DESCRIPTION, permissions=SHARED) as stream:
        yaml.safe_dump({"path": ".", "train": IMAGES, "val": IMAGES, "names": dict(enumerate(classes))}, stream)


def _render_lines(name: str, annotation: Annotation, classes: Sequence[str]) -> list[str]:
    if not annotation.relative and annotation.size is None:
        raise DataError(f"{name!r}: the annotation lacks the size of its image")
    width, height = (1, 1) if annotation.relative or annotation.size is None else annotation.size
    objects: list[tuple[str, list[float]]] = []
    for box in annotation.boxes:
        center = ((box.x1 + box.x2) / 2 / width, (box.y1 + box.y2) / 2 / height)
        extent = ((box.x2 - box.x1) / width, (box.y2 - box.y1) / height)
        objects.append((box.label, [*center, *extent]))
    for polygon in annotation.polygons:
        for ring in polygon.rings:
            # A ring is flat x, y, x, y …
            objects.append((polygon.label, [value / (height if i % 2 else width) for i, value in enumerate(ring)]))
    return [" ".join([str(classes.index(label)), *(f"{value:.10g}" for value in values)]) for label, values in objects]


class _Loader(yaml.SafeLoader):
    """Loads plain values only: nested aliases could expand a short file beyond any memory."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("it uses an alias (*name), which alcli does not support")
        return super().compose_node(parent, index)


def _description(path: Path) -> dict[str, Any]:
    try:
        if (size := path.stat().st_size) > LARGEST_DESCRIPTION:
            raise DataError(f"{path}: {size} bytes is too large for a dataset description.")
        content = yaml.load(path.read_text(encoding="utf-8-sig"), _Loader)
    # Invalid dates and numbers raise ValueError; other mistakes raise various errors inside the parser.
    except (OSError, ValueError, TypeError, AttributeError, LookupError, RecursionError, yaml.YAMLError) as error:
        raise DataError(f"{path} cannot be read: {error}.", do="Correct data.yaml.") from None
    if not isinstance(content, dict):
        raise DataError(f"{path}: the root is a {type(content).__name__}, expected keys such as names.")
    return content


def _names(content: dict[str, Any], path: Path) -> list[str]:
    names = content.get("names")
    if isinstance(names, dict):
        if set(names) != set(range(len(names))):
            raise DataError(f"{path}: names: the keys are not 0 to {len(names) - 1}.")
        names = [names[number] for number in range(len(names))]
    if not isinstance(names, list) or not names:
        raise DataError(f"{path}: names: expected every class once, got {shortened(names)}.", do="names: [cat, dog]")
    # YAML reads an unquoted no, yes, on or null as a boolean or null.
    if wrong := [name for name in names if isinstance(name, bool) or not isinstance(name, (str, int, float))]:
        raise DataError(f"{path}: names: {shortened(wrong[0])} is not a name.", do="Put the name into quotes.")
    if len({str(name) for name in names}) != len(names):
        raise DataError(f"{path}: names: expected every class once, got {shortened(names)}.", do="names: [cat, dog]")
    return [str(name) for name in names]


def _joints(content: dict[str, Any], path: Path) -> tuple[list[str], int]:
    """(joint names, values per joint)."""
    shape = content.get("kpt_shape")
    if shape is None:
        return [], 0
    if not _is_shape(shape):
        raise DataError(f"{path}: kpt_shape: expected [joints, 2 or 3], got {shortened(shape)}.")
    names = content.get("kpt_names")
    names = next(iter(names.values()), None) if isinstance(names, dict) else names
    if not isinstance(names, list) or len(names) != shape[0]:
        names = [f"joint_{number}" for number in range(1, shape[0] + 1)]
    return [str(name) for name in names], shape[1]


def _is_shape(shape: Any) -> bool:
    if not isinstance(shape, list) or [type(side) for side in shape] != [int, int]:
        return False
    return 0 < shape[0] <= MOST_JOINTS and shape[1] in (2, 3)


def _text_files(root: Path) -> list[Path]:
    folders = [folder for folder in sorted(root.rglob(LABELS)) if folder.is_dir()]
    return sorted({path for folder in folders for path in folder.rglob("*.txt")})


def _find_image(images: ImageNames, relative: Path) -> list[str]:
    parts = list(relative.with_suffix("").parts)
    index = parts.index(LABELS)
    above, below = parts[:index], parts[index + 1 :]
    candidates = [str(PurePosixPath(*key)) for key in ([*above, IMAGES, *below], [*above, *below], below)] + [parts[-1]]
    return next((matches for key in candidates if (matches := images.find(key))), [])


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise DataError(f"{path.name}: is not UTF-8 text") from None
    except OSError as error:
        raise DataError(f"{path.name}: cannot be read: {error.strerror}") from None


def _number(word: str) -> float:
    try:
        return float(word)
    except ValueError:
        raise DataError(f"{word!r} is not a number") from None


def _share(word: str) -> float:
    value = _number(word)
    if not -SLACK <= value <= 1 + SLACK:
        raise DataError(f"{word} is not relative to the image size (0 to 1)")
    return value


def _box(label: str, values: Sequence[float]) -> Box:
    x, y, width, height = values
    return Box(label, x - width / 2, y - height / 2, x + width / 2, y + height / 2)


def _keypoints(values: Sequence[float], names: Sequence[str], dimensions: int) -> tuple[Keypoint, ...]:
    joints = []
    for i, name in enumerate(names):
        x, y, *rest = values[i * dimensions : (i + 1) * dimensions]
        # Without a visibility value, (0, 0) means "not marked".
        visibility = rest[0] if rest else 2 * bool(x or y)
        if visibility:
            joints.append(Keypoint(name, x, y, visibility == 2))
    return tuple(joints)
