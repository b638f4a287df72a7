"""YOLO: ``data.yaml`` with the class names, and a text file per image with coordinates relative to its size."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from reprlib import repr as shortened

import yaml

from alcli.annotations import Annotation, Box, Keypoint, Polygon, Pose
from alcli.errors import DataError
from alcli.formats import Purpose
from alcli.formats._class_lists import MOST_OPENED, NOT_LABELS, class_number, first_line, is_label_line, split_line
from alcli.formats._files import ONE_IMAGE, annotation_files, is_file, is_folder, read_text
from alcli.formats._names import ImageNames, Matched, file_claims, match_claims
from alcli.formats._objects import Objects
from alcli.formats._yolo_description import (
    CVAT_FOLDER,
    DESCRIPTION,
    LABELS,
    YAML,
    Description,
    find_description,
    read_description,
)
from alcli.formats._yolo_layout import BOX, FIRST, Layout, looks_posed, needs_layout, read_layout
from alcli.items import Refusal
from alcli.system.files import SHARED, atomic_write
from alcli.system.folders import KEPT
from alcli.system.text import quantity

IMAGES = "images"
FURTHEST = 1.0
"""By how many times its size a coordinate may leave the image; the task decides how far its objects may."""
COLUMNS = "6 values: by the values of all rows, the confidence could be the second or the last one"


class Yolo:
    """A dataset with ``data.yaml``; an image is labeled when its text file exists, even if it is empty.

    A line is ``class x y width height`` (x and y of the center), followed by the joints if there is a ``kpt_shape``, or
    ``class x y x y …`` for a polygon. ``labels/sub/x.txt`` belongs to ``images/sub/x.jpg``, to ``sub/x.jpg`` or to the
    only image named ``x``. Another YAML file, ``obj.names`` or ``classes.txt`` may name the classes, or
    ``task.classes`` in the order of their numbers.
    """

    title = "YOLO"
    tasks = frozenset({"detection", "pose", "segmentation"})
    looks_like = "YOLO text files and data.yaml"
    purpose = Purpose()

    def __init__(self, path: Path) -> None:
        self._path = path
        self._root = path.parent if is_file(path) else path
        self._matched: Matched[Path] = Matched()
        self._description = Description()
        self._texts: list[Path] = []
        self._layout: Layout | None = None
        self._ignored: Counter[str] = Counter()

    @classmethod
    def recognizes(cls, path: Path) -> bool:
        """Whether it is a YAML file, or a folder with a description of a dataset, or with text files of numbers."""
        if not is_folder(path):
            return is_file(path) and path.suffix.lower() in YAML
        file = find_description(path)
        if file and file.suffix.lower() in YAML:
            return True
        texts = _label_files(path)
        lines = [line for text in texts[:MOST_OPENED] if (line := first_line(text))]
        return bool(texts) and (any(map(is_label_line, lines)) if lines else bool(file))

    @property
    def notes(self) -> list[str]:
        """What was overlooked in matching names and in reading."""
        layout = self._layout or Layout()
        shape = f"a box and {quantity(layout.joints, 'joint')} of {layout.dimensions} values"
        joints = [f"No kpt_shape: by their values, the rows hold {shape}."] if layout.joints else []
        return [*self._matched.notes, *joints, *(f"{count} {what}." for what, count in self._ignored.items())]

    def labeled(self, names: Sequence[str]) -> tuple[dict[str, str], list[Refusal]]:
        """Map each labeled image to its file's version; also return the files that match no or several images.

        Raises:
            DataError: the description does not name the classes, or nothing says what the columns of the rows mean.
            UsageError: there is no description, and the task's classes are not set.
        """
        texts = _label_files(self._root)
        # A folder that holds nothing yet, or nothing any more, needs no classes.
        needed = texts or find_description(self._path)
        self._description = read_description(self._path, self.purpose.classes) if needed else Description()
        self._texts, self._layout = texts, None
        if not self._description.joints and needs_layout(texts, self.purpose.task):
            _check(self._work_out_layout(), self._description)
        claims = file_claims("yolo", self._root, texts, _image_keys, self._description.stamp + self._stamp())
        images = ImageNames(names, suffixes=False)
        # Other texts lie among labels: notes, logs, lists of images.
        own = (each for each in claims if not each.version or images.match(each.keys).images or _is_label(each.source))
        self._matched = match_claims(images, own)
        return self._matched.versions, self._matched.refusals

    def read(self, name: str) -> Annotation:
        """The objects of one image, relative to its size; raises DataError naming an invalid line."""
        path = self._matched.source(name)
        objects = Objects(self.purpose, (1, 1))
        empty = True
        for number, line in enumerate(read_text(path, ONE_IMAGE).splitlines(), 1):
            words = split_line(line)
            if not words:
                continue
            try:
                part = self._parse_object(words)
                objects.add(part, part.box if isinstance(part, Pose) else None)
                empty = False
            except DataError as error:
                raise DataError(f"{path.name}:{number}: {error.what}") from None
        return objects.annotation(name, relative=not empty)

    def _parse_object(self, words: Sequence[str]) -> Box | Pose | Polygon:
        label = self._label(words[0])
        values = [_number(word) for word in words[1:]]
        joints, dimensions = self._joints(values)
        if joints and len(values) == BOX + len(joints) * dimensions:
            marked = _keypoints(values[BOX:], joints, dimensions)
            box = _box(label, values[:BOX])
            return Pose(label, marked, box) if marked else box
        if len(values) in (BOX, BOX + 1):
            return _box(label, [_share(word) for word in self._without_confidence(words[1:])])
        if joints:
            raise DataError(f"{len(words)} values, expected 5 or {5 + len(joints) * dimensions}")
        if len(values) > BOX and (self.purpose.task == "pose" or looks_posed(values)):
            raise DataError(f"{len(words)} values look like a box and joints; {_ask_for_shape(self._description)}")
        if len(values) % 2:
            raise DataError(f"{len(words)} values: expected 5 for a box, or an odd number from 7 for a polygon")
        return Polygon(label, (tuple(map(_share, words[1:])),))

    def _joints(self, values: Sequence[float]) -> tuple[Sequence[str], int]:
        """(names, values per joint) by the description, else by the values of all rows."""
        if self._description.joints:
            return self._description.joints, self._description.dimensions
        if len(values) <= BOX + 1:
            return (), 0
        if self._layout is None and not (self.purpose.task == "pose" or looks_posed(values)):
            return (), 0
        layout = self._work_out_layout()
        return layout.joint_names, layout.dimensions

    def _without_confidence(self, words: Sequence[str]) -> Sequence[str]:
        """The four values of a box."""
        if len(words) == BOX:
            return words
        layout = self._work_out_layout()
        if not layout.confidence:
            raise DataError(COLUMNS)
        which = "second" if layout.confidence == FIRST else "sixth"
        self._ignored[f"lines have a {which} column, taken as a confidence and not used"] += 1
        return words[1:] if layout.confidence == FIRST else words[:BOX]

    def _work_out_layout(self) -> Layout:
        if self._layout is None:
            self._layout = read_layout(self._texts, self.purpose.task)
        return self._layout

    def _stamp(self) -> str:
        """What annotations depend on beside their own file."""
        layout = self._layout
        joints = f"-{layout.joints}x{layout.dimensions}" if layout and layout.joints else ""
        return joints + ("-confidence" if layout and layout.confidence == FIRST else "")

    def _label(self, word: str) -> str:
        classes = self._description.classes
        number = class_number(word)
        if number is None or number >= len(classes):
            raise DataError(
                f"class {shortened(word)} is not in {self._description.source}, which lists 0 to {len(classes) - 1}"
            )
        return classes[number]


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


def _label_files(root: Path) -> list[Path]:
    """Text files below folders called ``labels``, or all where there is no such folder; without class lists."""
    texts = [
        path
        for path in annotation_files(root, ".txt")
        if path.name.lower() not in NOT_LABELS or is_label_line(first_line(path))
    ]
    return [path for path in texts if LABELS in path.relative_to(root).parts[:-1]] or texts


def _is_label(path: Path) -> bool:
    """Whether a text file that belongs to no image is a label file: empty, or with numbers."""
    line = first_line(path)
    return not line or is_label_line(line)


def _image_keys(relative: PurePosixPath) -> list[str]:
    parts = list(relative.with_suffix("").parts)
    if CVAT_FOLDER.fullmatch(parts[0]) and len(parts) > 1:
        parts = parts[1:]
    if LABELS not in parts[:-1]:
        return [str(PurePosixPath(*parts))]
    index = parts.index(LABELS)
    above, below = parts[:index], parts[index + 1 :]
    return [str(PurePosixPath(*key)) for key in ([*above, IMAGES, *below], [*above, *below], below)]


def _ask_for_shape(description: Description) -> str:
    return f"name kpt_shape: [joints, values per joint] in {description.source or DESCRIPTION}"


def _check(layout: Layout, description: Description) -> None:
    """Raises DataError if the folder's values leave a doubt that concerns every row."""
    if layout.problem:
        raise DataError(f"{layout.problem}.", kept=KEPT, do=f"Please {_ask_for_shape(description)}.")
    if layout.in_doubt:
        raise DataError(
            f"{COLUMNS}.", kept=KEPT, do="Remove the column of confidences: class x y width height, all relative."
        )


def _number(word: str) -> float:
    try:
        return float(word)
    except ValueError:
        raise DataError(f"{word!r} is not a number") from None


def _share(word: str) -> float:
    value = _number(word)
    if not -FURTHEST <= value <= 1 + FURTHEST:
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
