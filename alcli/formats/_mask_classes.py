"""Which class a pixel of a mask file has: ``classes.txt``, CVAT's ``labelmap.txt`` or Roboflow's ``_classes.csv``."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from alcli.errors import DataError
from alcli.formats._class_lists import read_class_list
from alcli.formats._files import LISTING, annotation_files, is_folder, is_given, read_text

CLASS_LIST, COLOR_LIST, NUMBER_LIST = "classes.txt", "labelmap.txt", "_classes.csv"


@dataclass(frozen=True)
class MaskClasses:
    """The classes of a folder of masks.

    Attributes:
        names: class names by the number in the mask.
        colors: number by 0xRRGGBB, for masks in color; empty for masks of numbers.
        suffix: what the names of masks have in addition to their images' names.
        folder: the only folder that holds masks of classes; empty for all.
    """

    names: Sequence[str]
    colors: Mapping[int, int] = field(default_factory=dict)
    suffix: str = ""
    folder: str = ""


def find_class_list(root: Path) -> Path | None:
    """The file that says what the pixels mean."""
    named = next((root / name for name in (CLASS_LIST, COLOR_LIST) if is_given(root / name)), None)
    tables = (path for path in annotation_files(root, ".csv") if path.name == NUMBER_LIST)
    return named or next(tables, None)


def read_mask_classes(root: Path) -> MaskClasses:
    """Read the class list of a folder of masks; raises DataError when it is missing or cannot be used."""
    path = find_class_list(root)
    if path and path.name == COLOR_LIST:
        return _read_colors(path)
    if path and path.name == NUMBER_LIST:
        return MaskClasses(_read_numbers(path), suffix="_mask")
    return MaskClasses(read_class_list(root / CLASS_LIST))


def _read_colors(path: Path) -> MaskClasses:
    """Lines of ``label:red,green,blue:parts:actions``; the order of the lines gives the numbers."""
    names: list[str] = []
    colors: dict[int, int] = {}
    for number, line in enumerate(_text(path).splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        name, _, rest = line.partition(":")
        try:
            red, green, blue = (int(value) for value in rest.split(":")[0].split(","))
            code = int.from_bytes(bytes((red, green, blue)), "big")
        except ValueError:
            raise DataError(f"{path.name}:{number}: expected label:red,green,blue, got {line!r}") from None
        if not name or name in names or code in colors:
            raise DataError(f"{path.name}:{number}: {name!r} has no name, or a name or color that occurs twice")
        colors[code] = len(names)
        names.append(name)
    folder = "SegmentationClass" if is_folder(path.parent / "SegmentationClass") else ""
    return MaskClasses(names, colors, folder=folder)


def _read_numbers(path: Path) -> list[str]:
    """Rows of ``Pixel Value, Class``, with the values 0, 1, 2 … in any order."""
    try:
        rows = [(int(row[0]), row[1].strip()) for row in list(csv.reader(_text(path).splitlines()))[1:] if any(row)]
    except (ValueError, IndexError, csv.Error) as error:
        raise DataError(f"{path.name}: expected the columns Pixel Value and Class: {error}") from None
    names = dict(rows)
    if sorted(number for number, _ in rows) != list(range(len(rows))) or len(set(names.values())) != len(rows):
        raise DataError(f"{path.name}: expected the values 0 to {len(rows) - 1} and every class once")
    return [names[number] for number in range(len(rows))]


def _text(path: Path) -> str:
    return read_text(path, LISTING)
