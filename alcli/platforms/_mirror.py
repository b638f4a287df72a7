"""A local copy of the images of a project on another machine."""

from __future__ import annotations

from pathlib import Path

from alcli.errors import DataError
from alcli.items import Item


def mirror_path(root: Path, item: Item) -> Path:
    """The item's file in a local copy of the project: ``FOLDER/NAME``, or ``NAME``.

    Raises:
        DataError: the file does not exist, or the name points outside the copy.
    """
    for relative in (Path(item.folder) / item.name, Path(item.name)):
        path = (root / relative).resolve()
        if not path.is_relative_to(root.resolve()):
            raise DataError(f"its name {item.name!r} points outside {root}")
        if path.is_file():
            return path
    raise DataError(f"there is no {Path(item.folder) / item.name} in {root}")
