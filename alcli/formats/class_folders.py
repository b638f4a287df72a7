"""One folder per class, holding copies of its images or links to them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from alcli.annotations import Annotation
from alcli.errors import DataError
from alcli.formats._class_lists import SPLITS
from alcli.formats._files import IMAGE_SUFFIXES, NOT_OPENED, annotation_files, entries, has_files, is_file, is_folder
from alcli.formats._names import ImageNames, refusal_reason
from alcli.items import Refusal
from alcli.system.files import SHARED, atomic_write
from alcli.system.text import readable

NOT_CLASSES = frozenset(
    {
        *("images", "labels", "annotations", "masks", "jpegimages", "imagesets", "segmentationclass"),
        *("segmentationobject", "obj_train_data", "obj_valid_data", "obj_test_data"),
    }
)
"""Names (in lower case) that other formats give to their folders."""
OTHER_FORMATS = (".yaml", ".yml", ".names", ".data", ".xml")


class ClassFolders:
    """A folder with one sub-folder per class; an image is labeled when one of them holds a file of its name.

    ``hat/x.jpg`` belongs to the image ``hat/x.jpg``, else to ``x.jpg``, else to the only image named ``x.jpg`` in any
    folder. An image in two class folders has both labels. A class with a single image is refused, because that image
    could not be used for both training and evaluation. Folders called train, val and test hold the class folders.
    """

    title = "class folders"
    tasks = frozenset({"classification"})
    looks_like = "one sub-folder of images per class"

    def __init__(self, path: Path) -> None:
        self._root = path
        self._labels: dict[str, set[str]] = {}
        self._alone: dict[str, str] = {}

    @classmethod
    def recognizes(cls, path: Path) -> bool:
        """Whether the folder holds images in its sub-folders only, and no file or folder of another format."""
        if not is_folder(path) or any((path / name).exists() for name in ("classes.txt", "labelmap.txt")):
            return False
        if has_files(path, *OTHER_FORMATS) or any(_is_image(entry) for entry in entries(path)):
            return False
        folders = [folder for base in _class_roots(path) for folder in _folders(base)]
        if any(folder.name.lower() in NOT_CLASSES | SPLITS for folder in folders):
            return False
        return any(_is_image(file) for folder in folders for file in entries(folder))

    def labeled(self, names: Sequence[str]) -> tuple[dict[str, str], list[Refusal]]:
        """Map each labeled image to the names of its folders; also return the files that match no or several images."""
        images = ImageNames(names, suffixes=True)
        self._labels, self._alone = {}, {}
        refusals: list[Refusal] = []
        for base in _class_roots(self._root):
            for path in _files(base):
                whole = readable(path.relative_to(self._root).as_posix())
                relative = Path(readable(path.relative_to(base).as_posix()))
                if not is_file(path):
                    refusals.append(Refusal(f"class:{whole}", whole, NOT_OPENED))
                    continue
                keys = [whole, relative.as_posix(), Path(*relative.parts[1:]).as_posix()]
                match = images.match(keys)
                if len(match.images) == 1:
                    self._labels.setdefault(match.images[0], set()).add(relative.parts[0])
                else:
                    refusals.append(Refusal(f"class:{whole}", whole, refusal_reason(match), "there"))
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


def _class_roots(root: Path) -> list[Path]:
    """The folders whose sub-folders are the classes: the root, or its train, val and test."""
    folders = list(_folders(root))
    split = folders and all(folder.name.lower() in SPLITS for folder in folders)
    return folders if split else [root]


def _folders(root: Path) -> Iterator[Path]:
    return (entry for entry in entries(root) if is_folder(entry) and not entry.name.startswith("."))


def _files(root: Path) -> Iterator[Path]:
    for folder in _folders(root):
        yield from (path for path in annotation_files(folder, *IMAGE_SUFFIXES) if not is_folder(path))


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".") and is_file(path)


def _sole_images(labels: dict[str, set[str]]) -> dict[str, str]:
    """Map each image that is the only one of a class to that class."""
    members: dict[str, list[str]] = {}
    for name, classes in labels.items():
        for label in classes:
            members.setdefault(label, []).append(name)
    return {names[0]: label for label, names in members.items() if len(names) == 1}
