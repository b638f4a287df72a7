"""One folder per class, holding copies of its images or links to them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from alcli.annotations import Annotation
from alcli.errors import DataError
from alcli.formats._names import ImageNames
from alcli.items import Refusal
from alcli.system.files import SHARED, atomic_write

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif"})
OTHER_FORMATS = ("classes.txt", "data.yaml")


class ClassFolders:
    """A folder with one sub-folder per class; an image is labeled when one of them holds a file of its name.

    ``hat/x.jpg`` belongs to the image ``hat/x.jpg``, else to ``x.jpg``, else to the only image named ``x.jpg`` in any
    folder. An image in two class folders has both labels. A class with a single image is refused, because that image
    could not be used for both training and evaluation.
    """

    def __init__(self, path: Path) -> None:
        self._root = path
        self._labels: dict[str, set[str]] = {}
        self._alone: dict[str, str] = {}

    @classmethod
    def recognizes(cls, path: Path) -> bool:
        """Whether the folder holds images in its sub-folders only, and no file of another format."""
        if not path.is_dir() or any((path / name).exists() for name in OTHER_FORMATS):
            return False
        if any(_is_image(entry) for entry in path.iterdir()) or next(path.rglob("*.xml"), None):
            return False
        return next(_files(path), None) is not None

    def labeled(self, names: Sequence[str]) -> tuple[dict[str, str], list[Refusal]]:
        """Map each labeled image to the names of its folders; also return the files that match no or several images."""
        images = ImageNames(names, suffixes=True)
        self._labels, self._alone = {}, {}
        refusals: list[Refusal] = []
        for path in _files(self._root):
            relative = path.relative_to(self._root)
            label = relative.parts[0]
            matches = _first_match(images, [relative.as_posix(), Path(*relative.parts[1:]).as_posix(), path.name])
            if len(matches) == 1:
                self._labels.setdefault(matches[0], set()).add(label)
            else:
                reason = f"could belong to {' or '.join(matches)}" if matches else "annotation without an image"
                refusals.append(Refusal(f"class:{relative.as_posix()}", relative.as_posix(), reason, "there"))
        self._alone = _sole_images(self._labels)
        return {name: self._version(name) for name in self._labels}, refusals

    def read(self, name: str) -> Annotation:
        """The classes of one image; raises DataError when it is the only image of a class."""
        if name in self._alone:
            raise DataError(f"the only image of the class folder {self._alone[name]!r}; at least two are needed")
        return Annotation(name, labels=tuple(sorted(self._labels[name])))

    def _version(self, name: str) -> str:
        # A second image in the class folder makes the first one usable.
        return ",".join(sorted(self._labels[name])) + (" alone" if name in self._alone else "")


def write(root: Path, name: str, annotation: Annotation, image: Path) -> None:
    """Copy the image into the folder of each of its labels; each copy is written atomically."""
    for label in annotation.labels:
        target = root / label / name
        target.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(target, "wb", SHARED) as stream, image.open("rb") as source:
            shutil.copyfileobj(source, stream)


def _files(root: Path) -> Iterator[Path]:
    for folder in sorted(root.iterdir()):
        if folder.is_dir() and not folder.name.startswith("."):
            yield from (path for path in sorted(folder.rglob("*")) if _is_image(path))


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()


def _first_match(images: ImageNames, keys: Sequence[str]) -> list[str]:
    return next((matches for key in keys if (matches := images.find(key))), [])


def _sole_images(labels: dict[str, set[str]]) -> dict[str, str]:
    """Map each image that is the only one of a class to that class."""
    members: dict[str, list[str]] = {}
    for name, classes in labels.items():
        for label in classes:
            members.setdefault(label, []).append(name)
    return {names[0]: label for label, names in members.items() if len(names) == 1}
