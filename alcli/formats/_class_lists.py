"""Class names in a text file, one per line, in the order of their numbers."""

from __future__ import annotations

from pathlib import Path

from alcli.errors import DataError
from alcli.formats._files import LISTING, read_text

NOT_LABELS = frozenset(
    {
        *("classes.txt", "labels.txt", "labelmap.txt", "names.txt", "predefined_classes.txt"),
        *("train.txt", "val.txt", "valid.txt", "test.txt", "trainval.txt", "requirements.txt"),
        *("readme.txt", "readme.roboflow.txt", "readme.dataset.txt", "license.txt"),
    }
)
"""Text files (in lower case) that lie among labels and are none."""


def read_class_list(path: Path) -> list[str]:
    """The classes in the order of their numbers; raises DataError for an empty line or a class that occurs twice."""
    advice = "Write one class per line, in the order of the ids."
    try:
        lines = [line.strip() for line in read_text(path, LISTING).splitlines()]
    except DataError as error:
        raise DataError(f"{path.parent}: {error.what}.", do=advice) from None
    while lines and not lines[-1]:
        lines.pop()
    if not lines or not all(lines):
        raise DataError(f"{path}: a line is empty.", do=advice)
    if twice := {name for name in lines if lines.count(name) > 1}:
        raise DataError(f"{path}: {', '.join(sorted(twice))} is named twice.", do="Give every id its own class.")
    return lines
