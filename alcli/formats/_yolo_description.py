"""Which classes and joints a YOLO dataset has: ``data.yaml``, ``obj.names``, ``classes.txt`` or the task's classes."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from reprlib import repr as shortened
from typing import Any

import yaml

from alcli.errors import DataError, UsageError
from alcli.formats._class_lists import SPLITS, first_line, is_label_line, read_class_list
from alcli.formats._files import (
    LISTING,
    annotation_files,
    entries,
    file_version,
    is_file,
    is_folder,
    is_given,
    read_text,
)
from alcli.formats._yolo_layout import unnamed_joints

DESCRIPTION = "data.yaml"
YAML = (".yaml", ".yml")
DATASET_KEYS = frozenset({"path", "train", "val", "test", "nc"})
"""Keys of which a description has at least one, in addition to ``names``."""
LIST_SUFFIX = ".names"
CLASS_LISTS = ("classes.txt", "labels.txt", "names.txt")
"""Names of lists in lower case, the most telling first."""
LABELS = "labels"
CVAT_FOLDER = re.compile(r"obj_.+_data", re.IGNORECASE)
"""A folder of labels for each subset, by whatever name people gave to the subset."""
MOST_JOINTS = 1000


@dataclass(frozen=True)
class Description:
    """What a dataset's labels mean.

    Attributes:
        source: what names the classes, for messages.
        classes: in the order of their numbers.
        joints: joint names in order; empty without keypoints.
        dimensions: values per joint, 2 or 3.
        stamp: changes with the file that names the classes.
    """

    source: str = ""
    classes: Sequence[str] = ()
    joints: Sequence[str] = field(default=())
    dimensions: int = 0
    stamp: str = ""


def find_description(path: Path) -> Path | None:
    """The file that names the classes of a dataset; ``path`` itself if it is a file."""
    return next(iter(_candidates(path)), None)


def read_description(path: Path, classes: Sequence[str]) -> Description:
    """Read the classes and joints of a dataset.

    Args:
        classes: the task's classes in the order of their numbers, for a dataset that does not name any.

    Raises:
        DataError: the file that should name them cannot be used.
        UsageError: nothing names the classes, or several files do differently.
    """
    files = _candidates(path)
    _check_rivals(files)
    file = files[0] if files else None
    content = _load(file) if file and file.suffix.lower() in YAML else None
    if file and content is not None and ("names" in content or not classes):
        joints, dimensions = _joints(content, file)
        return Description(file.name, _names(content, file), joints, dimensions, f"-{file_version(file)}")
    if file and content is None:
        names = read_class_list(file)
        return Description(file.name, names, stamp=f"-{file_version(file)}")
    if classes:
        return Description("task.classes", classes, stamp=f"-{','.join(classes)}")
    raise UsageError(
        f"The .txt files in {path} look like YOLO labels, but nothing names the classes.",
        do=f"Put a {DESCRIPTION} or classes.txt there, or name the classes in order: --classes cat,dog",
    )


def _candidates(path: Path) -> list[Path]:
    """The files of one kind that name the classes: in the folder itself, else above it, else below it."""
    if not is_folder(path):
        return [path] if is_file(path) else []
    for folder in (path, *_folders_above(path)):
        if files := _most_telling(entries(folder)):
            return files
    # An archive that was unpacked into a folder of its own, or a list among the labels.
    return _most_telling(annotation_files(path, *YAML, LIST_SUFFIX, ".txt"))


def _folders_above(path: Path) -> list[Path]:
    """Where the classes are named if ``path`` holds only the labels of a dataset: ``labels``, ``train/labels``."""
    if path.name.lower() == LABELS or CVAT_FOLDER.fullmatch(path.name):
        return [path.parent, *([path.parent.parent] if path.parent.name.lower() in SPLITS else [])]
    return [path.parent, path.parent.parent] if path.parent.name.lower() == LABELS else []


def _most_telling(files: Sequence[Path]) -> list[Path]:
    """Those of the files that name classes and are of the most telling kind."""
    kinds: dict[int, list[Path]] = {}
    for file in files:
        kind = _kind(file)
        if kind is not None:
            kinds.setdefault(kind, []).append(file)
    return kinds[min(kinds)] if kinds else []


def _kind(file: Path) -> int | None:
    """How telling a file is, 0 most; None if it does not name classes."""
    name, suffix = file.name.lower(), file.suffix.lower()
    if file.name.startswith(".") or suffix not in (*YAML, LIST_SUFFIX, ".txt"):
        return None
    if name == DESCRIPTION or suffix in YAML:
        return 0 if name == DESCRIPTION and is_given(file) else 1 if is_file(file) and _is_description(file) else None
    if (name not in CLASS_LISTS and suffix != LIST_SUFFIX) or not is_given(file) or is_label_line(first_line(file)):
        return None
    return 2 if suffix == LIST_SUFFIX else 3 + CLASS_LISTS.index(name)


def _check_rivals(files: Sequence[Path]) -> None:
    """Raises UsageError if several files name different classes: the numbers would mean something else in each."""
    known: dict[tuple[str, ...], Path] = {}
    for file in files if len(files) > 1 else ():
        with contextlib.suppress(DataError):
            names = _names(_load(file), file) if file.suffix.lower() in YAML else read_class_list(file)
            known.setdefault(tuple(names), file)
    if len(known) > 1:
        first, second, *_ = known.values()
        raise UsageError(
            f"{first} and {second} name different classes.",
            do="Keep the right one, or name it: --annotations with its path.",
        )


def _is_description(path: Path) -> bool:
    """Whether a YAML file names classes and where images are."""
    try:
        content = _load(path)
    except DataError:
        return False
    return isinstance(content.get("names"), (list, dict)) and bool(DATASET_KEYS & content.keys())


class _Loader(yaml.SafeLoader):
    """Loads plain values only: nested aliases could expand a short file beyond any memory."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("it uses an alias (*name), which alcli does not support")
        return super().compose_node(parent, index)


def _load(path: Path) -> dict[str, Any]:
    try:
        content = yaml.load(read_text(path, LISTING), _Loader)
    # Invalid dates and numbers raise ValueError; other mistakes raise various errors inside the parser.
    except (ValueError, TypeError, AttributeError, LookupError, RecursionError, yaml.YAMLError) as error:
        raise DataError(f"{path} cannot be read: {error}.", do=f"Correct {path.name}.") from None
    if not isinstance(content, dict):
        raise DataError(f"{path}: the root is a {type(content).__name__}, expected keys such as names.")
    return content


def _names(content: dict[str, Any], path: Path) -> list[str]:
    names = content.get("names")
    if isinstance(names, dict):
        numbered = {int(key) if isinstance(key, str) and key.isdecimal() else key: name for key, name in names.items()}
        if set(numbered) != set(range(len(names))):
            raise DataError(f"{path}: names: the keys are not 0 to {len(names) - 1}.", do="Number all classes, from 0.")
        names = [numbered[number] for number in range(len(names))]
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
        names = unnamed_joints(shape[0])
    return [str(name) for name in names], shape[1]


def _is_shape(shape: Any) -> bool:
    if not isinstance(shape, list) or [type(side) for side in shape] != [int, int]:
        return False
    return 0 < shape[0] <= MOST_JOINTS and shape[1] in (2, 3)
