"""PNG masks ``NAME.png`` with a class id per pixel, and ``classes.txt`` with a class name per line, in id order."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask

from alcli.annotations import IGNORED, Annotation, Mask
from alcli.errors import DataError
from alcli.formats._names import ImageNames
from alcli.items import Refusal
from alcli.system.files import SHARED, atomic_write

CLASS_LIST = "classes.txt"
MODES = ("1", "L", "P", "I", "I;16")
"""Modes with one number per pixel; the number is the class id, a palette's colors are ignored."""


class Masks:
    """A folder of PNG masks; an image is labeled when its mask exists, ``sub/x.png`` for ``sub/x.jpg``.

    Ids beyond the class list are passed on: the task ignores ``task.ignore_index`` and refuses the others.
    """

    def __init__(self, path: Path) -> None:
        self._root = path
        self._files: dict[str, Path] = {}
        self._classes: list[str] = []

    @classmethod
    def recognizes(cls, path: Path) -> bool:
        """Whether the folder contains classes.txt."""
        return (path / CLASS_LIST).is_file()

    def labeled(self, names: Sequence[str]) -> tuple[dict[str, str], list[Refusal]]:
        """Map each labeled image to its mask's version; also return the masks that match no or several images.

        Raises:
            DataError: the class list is missing, or it names a class twice.
        """
        self._classes = _classes(self._root / CLASS_LIST)
        images = ImageNames(names, suffixes=False)
        versions: dict[str, str] = {}
        refusals: list[Refusal] = []
        listing = ",".join(self._classes)
        for path in sorted(self._root.rglob("*.png")):
            relative = path.relative_to(self._root).as_posix()
            matches = images.find(str(PurePosixPath(relative).with_suffix("")))
            facts = path.stat()
            version = f"{facts.st_size}-{facts.st_mtime_ns}-{listing}"
            if len(matches) == 1 and matches[0] not in versions:
                versions[matches[0]] = version
                self._files[matches[0]] = path
            else:
                refusals.append(Refusal(f"mask:{relative}", relative, _mismatch(matches), version))
        return versions, refusals

    def read(self, name: str) -> Annotation:
        """One mask for each class id in an image; raises DataError when the file is not a mask."""
        numbers = _numbers(self._files[name])
        size = (numbers.shape[1], numbers.shape[0])
        masks = [
            Mask(
                self._classes[number] if number < len(self._classes) else IGNORED,
                coco_mask.encode(np.asfortranarray(numbers == number, dtype=np.uint8))["counts"].decode("ascii"),
                size,
                number,
            )
            for number in np.unique(numbers).tolist()
        ]
        return Annotation(name, size=size, masks=tuple(masks))


def write(root: Path, name: str, annotation: Annotation, classes: Sequence[str]) -> None:
    """Write the masks of one image as ``NAME.png``, and the class list; pixels outside every mask get 255.

    Raises:
        DataError: there are no masks, or a mask's class is not listed.
    """
    if not annotation.masks:
        raise DataError(f"{name!r} has no masks to write")
    width, height = annotation.masks[0].size
    numbers = np.full((height, width), 255, dtype=np.uint8)
    for mask in annotation.masks:
        number = classes.index(mask.label) if mask.label in classes else mask.pixel_id
        if number is None:
            raise DataError(f"{name!r}: class {mask.label!r} is not one of {', '.join(classes)}")
        inside = coco_mask.decode({"size": [height, width], "counts": mask.counts.encode("ascii")}).astype(bool)
        numbers[inside] = number
    path = (root / name).with_suffix(".png")
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path, "wb", SHARED) as stream:
        Image.fromarray(numbers).save(stream, "PNG")
    with atomic_write(root / CLASS_LIST, permissions=SHARED) as stream:
        stream.write("".join(f"{label}\n" for label in classes))


def _classes(path: Path) -> list[str]:
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"{path} cannot be read: {error}.", do="Write one class per line, in the order of the ids."
        ) from None
    while lines and not lines[-1]:
        lines.pop()
    if not lines or not all(lines):
        raise DataError(f"{path}: a line is empty.", do="Write one class per line, in the order of the ids.")
    if twice := {name for name in lines if lines.count(name) > 1}:
        raise DataError(f"{path}: {', '.join(sorted(twice))} is named twice.", do="Give every id its own class.")
    return lines


def _numbers(path: Path) -> np.ndarray:
    """(height, width) int64 class ids."""
    try:
        with Image.open(path) as image:
            if image.mode not in MODES:
                raise DataError(f"{path.name}: a color image ({image.mode}); a mask has one class id per pixel")
            return np.asarray(image).astype(np.int64)
    except DataError:
        raise
    except Exception as error:
        # Decoders may raise nearly any exception on broken files.
        raise DataError(f"{path.name}: cannot be decoded: {error}") from None


def _mismatch(matches: list[str]) -> str:
    if not matches:
        return "mask without an image"
    return f"could belong to {' or '.join(matches)}" if len(matches) > 1 else f"{matches[0]} already has a mask"
