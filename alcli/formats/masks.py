"""PNG masks ``NAME.png`` with a class id per pixel, and ``classes.txt`` with a class name per line, in id order."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image, UnidentifiedImageError
from pycocotools import mask as coco_mask

from alcli.annotations import IGNORED, Annotation, Mask
from alcli.errors import DataError, UsageError
from alcli.formats import Purpose
from alcli.formats._class_lists import MOST_OPENED, NOT_LABELS, first_line, is_label_line
from alcli.formats._files import annotation_files, has_files, is_file, is_folder, read_bytes
from alcli.formats._mask_classes import CLASS_LIST, COLOR_LIST, MaskClasses, find_class_list, read_mask_classes
from alcli.formats._names import ImageNames, Matched, file_claims, match_claims
from alcli.items import MOST_PIXELS, PICTURE_FORMATS, Refusal
from alcli.system.files import SHARED, atomic_write

IMAGE_SETS = "ImageSets"
MARKS = re.compile(r"[_-](?:masks?|labels?|labelIds|seg|gt|L)$", re.IGNORECASE)
"""What the name of a mask may have in addition to its image's name."""
LARGEST_FILE = 2**29
MODES = ("1", "L", "P", "I", "I;16")
"""Modes with one number per pixel; the number is the class id, a palette's colors are ignored."""


class Masks:
    """A folder of PNG masks; an image is labeled when its mask exists, ``sub/x.png`` for ``sub/x.jpg``.

    Ids beyond the class list are passed on: the task ignores ``task.ignore_index`` and refuses the others. CVAT's masks
    in color with ``labelmap.txt`` and Roboflow's ``x_mask.png`` with ``_classes.csv`` are read, too.
    """

    title = "PNG masks"
    tasks = frozenset({"segmentation"})
    looks_like = "PNG masks and classes.txt"
    purpose = Purpose()

    def __init__(self, path: Path) -> None:
        self._root = path
        self._matched: Matched[Path] = Matched()
        self._classes = MaskClasses(())

    @classmethod
    def recognizes(cls, path: Path) -> bool:
        """Whether the folder contains a class list and PNG files, and no label files of YOLO."""
        if not is_folder(path) or not find_class_list(path) or not has_files(path, ".png"):
            return False
        texts = [file for file in annotation_files(path, ".txt") if IMAGE_SETS not in file.relative_to(path).parts]
        others = [file for file in texts if file.name.lower() not in NOT_LABELS]
        return not any(map(is_label_line, map(first_line, others[:MOST_OPENED])))

    @classmethod
    def lacks(cls, path: Path) -> str:
        """What a folder of PNG files lacks to be in this format; empty if it is no such folder."""
        if find_class_list(path) or not has_files(path, ".png"):
            return ""
        if listed := next((name for name in (CLASS_LIST, COLOR_LIST) if is_file(path.parent / name)), ""):
            return f"{listed} of the PNG masks lies one folder above: --annotations {path.parent}"
        return f"PNG masks need {CLASS_LIST}, with a class name per line in the order of the ids"

    @property
    def listed_classes(self) -> Sequence[str]:
        """The classes of the class list."""
        return self._classes.names

    @property
    def notes(self) -> list[str]:
        """What was overlooked in matching names."""
        return self._matched.notes

    def labeled(self, names: Sequence[str]) -> tuple[dict[str, str], list[Refusal]]:
        """Map each labeled image to its mask's version; also return the masks that match no or several images.

        Raises:
            DataError: the class list is missing, or it names a class twice.
            UsageError: masks cannot be told from images.
        """
        # A folder that holds nothing yet, or nothing any more, needs no classes.
        empty = not has_files(self._root, ".png") and not find_class_list(self._root)
        self._classes = MaskClasses(()) if empty else read_mask_classes(self._root)
        root, suffix = self._root / self._classes.folder, self._classes.suffix
        files = [path for path in annotation_files(root, ".png") if path.stem.endswith(suffix)]
        files = self._without_images(files)
        stamp = f"-{','.join(self._classes.names)}"
        claims = file_claims("mask", root, files, lambda path: _image_keys(path, suffix), stamp)
        self._matched = match_claims(ImageNames(names, suffixes=False), claims, orphan="mask without an image")
        return self._matched.versions, self._matched.refusals

    def _without_images(self, files: Sequence[Path]) -> list[Path]:
        """Drop the images that are PNG files, too, where they lie below the masks' folder."""
        images, root = self.purpose.images and self.purpose.images.resolve(), self._root.resolve()
        if images is None or (images != root and root not in images.parents):
            return list(files)
        if images != root:
            return [file for file in files if images not in file.resolve().parents]
        if files and not self._classes.suffix and not self._classes.folder:
            raise UsageError(
                f"{self._root} holds images and masks: nothing tells one from the other.",
                do=f"Give the images their own folder: --images {self._root}/images --annotations {self._root}",
            )
        return list(files)

    def read(self, name: str) -> Annotation:
        """One mask for each class id in an image; raises DataError when the file is not a mask."""
        path = self._matched.source(name)
        names, colors = self._classes.names, self._classes.colors
        numbers = _numbers_of_colors(path, colors) if colors else _numbers(path)
        size = (numbers.shape[1], numbers.shape[0])
        masks = [
            Mask(
                names[number] if number < len(names) else IGNORED,
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


def _image_keys(path: PurePosixPath, suffix: str) -> list[str]:
    name = str(path.with_suffix("")).removesuffix(suffix)
    bare = MARKS.sub("", name)
    return [name, bare] if bare != name else [name]


def _numbers(path: Path) -> np.ndarray:
    """(height, width) int64 class ids."""
    with _open_mask(path) as image:
        if image.mode not in MODES:
            raise DataError(f"{path.name}: a color image ({image.mode}); a mask has one class id per pixel")
        return np.asarray(image).astype(np.int64)


def _numbers_of_colors(path: Path, colors: Mapping[int, int]) -> np.ndarray:
    """(height, width) int64 class ids of a mask in color."""
    with _open_mask(path) as image:
        channels = np.asarray(image.convert("RGB")).astype(np.int64)  # (height, width, 3)
    codes, positions = np.unique(channels @ np.array([1 << 16, 1 << 8, 1]), return_inverse=True)
    if unknown := [code for code in codes.tolist() if code not in colors]:
        color = ",".join(map(str, unknown[0].to_bytes(3, "big")))
        raise DataError(f"{path.name}: the color {color} is not in {COLOR_LIST}")
    return np.array([colors[code] for code in codes.tolist()])[positions.reshape(channels.shape[:2])]


@contextlib.contextmanager
def _open_mask(path: Path) -> Iterator[Image.Image]:
    try:
        with Image.open(io.BytesIO(read_bytes(path, LARGEST_FILE)), formats=PICTURE_FORMATS) as image:
            if image.width * image.height > MOST_PIXELS:
                raise DataError(f"{path.name}: {image.width}×{image.height} is more than {MOST_PIXELS} pixels")
            yield image
    except UnidentifiedImageError:
        raise DataError(f"{path.name}: cannot be decoded: not an image that can be read") from None
    except DataError:
        raise
    except Exception as error:
        # Decoders may raise nearly any exception on broken files.
        raise DataError(f"{path.name}: cannot be decoded: {error}") from None
