"""Class names in a text file, one per line, in the order of their numbers."""

from __future__ import annotations

import re
from pathlib import Path

from alcli.errors import DataError
from alcli.formats._files import LISTING, encoding_of, read_head, read_text

NOT_LABELS = frozenset(
    {
        *("classes.txt", "labels.txt", "labelmap.txt", "names.txt", "predefined_classes.txt"),
        *("train.txt", "val.txt", "valid.txt", "test.txt", "trainval.txt", "requirements.txt"),
        *("readme.txt", "readme.roboflow.txt", "readme.dataset.txt", "license.txt"),
    }
)
"""Text files (in lower case) that lie among labels and are none."""
SPLITS = frozenset({"train", "training", "val", "valid", "validation", "test", "testing"})
"""Folders (in lower case) that hold one part of a dataset each."""
HEAD = 4096
MOST_OPENED = 20
"""Text files of which the first line shows what they are."""
DECIMAL_COMMA = re.compile(r"\d,\d")
FEWEST_NUMBERS = 5
"""In a line of a label file: a class and four numbers."""


def first_line(path: Path) -> str:
    """The first line of a text file; empty for anything else."""
    head = read_head(path, HEAD)
    return head.decode(encoding_of(head), "ignore").strip().partition("\n")[0].strip()


def is_label_line(line: str) -> bool:
    """Whether it is a class number and at least four more numbers, as in YOLO's label files."""
    words = split_line(line)
    try:
        return len(words) >= FEWEST_NUMBERS and class_number(words[0]) is not None and bool(list(map(float, words)))
    except ValueError:
        return False


def split_line(line: str) -> list[str]:
    """The words of a line, which blanks, commas or semicolons separate; between blanks, a comma is a decimal point."""
    if DECIMAL_COMMA.search(line) and len(line.split()) > 1 and "." not in line:
        line = line.replace(",", ".")
    return line.replace(",", " ").replace(";", " ").split()


def class_number(word: str) -> int | None:
    """A whole number in any notation (``0``, ``0.0``, ``1e0``); None for anything else."""
    try:
        value = float(word)
    except ValueError:
        return None
    return int(value) if 0 <= value < 10**9 and value == int(value) else None


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
