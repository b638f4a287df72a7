"""PNG masks ``NAME.png`` with a class id per pixel, and ``classes.txt`` with a class name per line, in id order."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask

from alcli.annotations import IGNORED, Annotation, Mask
from alcli.errors import DataError
from alcli.formats._class_lists import NOT_LABELS, read_class_list
from alcli.formats._files import annotation_files, has_files
from alcli.formats._names import ImageNames, Matched, file_claims, match_claims
from alcli.items import Refusal
from alcli.system.files import SHARED, atomic_write

CLASS_LIST = "classes.txt"
MODES = ("1", "L", "P", "I", "I;16")
"""Modes with one number per pixel; the number is the class id, a palette's colors are ignored."""


class Masks:
    """A folder of PNG masks; an image is labeled when its mask exists, ``sub/x.png`` for ``sub/x.jpg``.

    Ids beyond the class list are passed on: the task ignores ``task.ignore_index`` and refuses the others.
    """

    tasks = frozenset({"segmentation"})
    looks_like = "PNG masks and classes.txt"

    def __init__(self, path: Path) -> None:
        self._root = path
        self._matched: Matched[Path] = Matched()
        self._classes: list[str] = []

    @classmethod
    def recognizes(cls, path: Path) -> bool:
        """Whether the folder contains classes.txt and PNG files, and no other text files, which YOLO's labels are."""
        texts = (
            [file for file in annotation_files(path, ".txt") if file.name.lower() not in NOT_LABELS]
            if path.is_dir()
            else []
        )
        return (path / CLASS_LIST).is_file() and not texts and has_files(path, ".png")

    @classmethod
    def lacks(cls, path: Path) -> str:
        """What a folder of PNG files lacks to be in this format; empty if it is no such folder."""
        if (path / CLASS_LIST).is_file() or not has_files(path, ".png"):
            return ""
        return f"PNG masks need {CLASS_LIST}, with a class name per line in the order of the ids"

    @property
    def notes(self) -> list[str]:
        """What was overlooked in matching names."""
        return self._matched.notes

    def labeled(self, names: Sequence[str]) -> tuple[dict[str, str], list[Refusal]]:
        """Map each labeled image to its mask's version; also return the masks that match no or several images.

        Raises:
            DataError: the class list is missing, or it names a class twice.
        """
        self._classes = read_class_list(self._root / CLASS_LIST)
        claims = file_claims(
            "mask",
            self._root,
            annotation_files(self._root, ".png"),
            lambda path: [str(path.with_suffix(""))],
            f"-{','.join(self._classes)}",
        )
        self._matched = match_claims(ImageNames(names, suffixes=False), claims, orphan="mask without an image")
        return self._matched.versions, self._matched.refusals

    def read(self, name: str) -> Annotation:
        """One mask for each class id in an image; raises DataError when the file is not a mask."""
        numbers = _numbers(self._matched.source(name))
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
