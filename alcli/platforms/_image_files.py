"""Which files below a folder are images to annotate, and which only lie among them."""

from __future__ import annotations

import os
import re
import stat
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from alcli.errors import PlatformError
from alcli.items import Refusal, path_to_uri
from alcli.system.folders import KEPT, LEFT_BY_SYSTEMS, NOTHING_THERE, closed_folder
from alcli.system.text import quantity, readable

SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif"})
UNREAD_SUFFIXES = frozenset(
    {".heic", ".heif", ".avif", ".dcm", ".jp2", ".jxl", ".psd", ".svg", ".dng", ".cr2", ".nef", ".arw", ".raw"}
    | {".mp4", ".avi", ".mov", ".mkv", ".webm", ".pdf"}
)
"""Pictures and films of kinds that alcli does not read; they are counted."""
OVERLAY = re.compile(r"(.+)___(?:fuse|save|pixel)\.png|(.+)_mask\.png", re.IGNORECASE)
"""Files that SuperAnnotate (``a.jpg___fuse.png``) and Roboflow (``a_mask.png``) write next to their image."""
PLAIN = re.compile(r"[A-Za-z0-9_.~-]+")
"""Names that an address holds as they are."""
MASK_FOLDERS = frozenset({"masks", "mask", "segmentationclass", "segmentationobject"})
"""Folders (in lower case) whose PNG files belong to images of the same name elsewhere."""


@dataclass(frozen=True)
class Apart:
    """A folder below the images whose image files are no images to annotate.

    Attributes:
        what: the folder, as a sentence names it.
        moved: its files are images if no image outside has their name: they were moved into it, not copied.
    """

    folder: Path
    what: str
    moved: bool = False


@dataclass
class Listing:
    """The images below a folder.

    Attributes:
        images: (address, version) by relative POSIX path.
        refusals: entries with an image's name that are no readable file.
        overlays: how many drawings of annotations were passed over.
        unread: files of unread kinds, by suffix.
        unread_names: name of such a file by its name without suffix.
        apart: image files that were passed over, by the folder that they lie in.
        closed: folders that were not entered.
    """

    images: dict[str, tuple[str, str]] = field(default_factory=dict)
    refusals: list[Refusal] = field(default_factory=list)
    overlays: int = 0
    unread: Counter[str] = field(default_factory=Counter)
    unread_names: dict[str, str] = field(default_factory=dict)
    apart: Counter[str] = field(default_factory=Counter)
    closed: list[str] = field(default_factory=list)

    def add(self, name: str, address: str, version: str) -> None:
        """Add an object of a store: an image, or a file to be counted; hidden names are passed over."""
        suffix = os.path.splitext(name)[1].lower()  # noqa: PTH122 (a million names)
        if any(part.startswith(".") or part in LEFT_BY_SYSTEMS for part in name.split("/")):
            return
        if suffix in SUFFIXES:
            self.images[readable(name)] = (address, version)
        elif suffix in UNREAD_SUFFIXES:
            self.add_unread(name.rpartition("/")[2], suffix)

    def add_unread(self, name: str, suffix: str) -> None:
        """Count a picture of a kind that is not read."""
        self.unread[suffix] += 1
        self.unread_names[_stem(name)] = name

    def drop_overlays(self) -> None:
        """Drop every overlay whose image is in the listing; without its image a file is an image like any other."""
        drawings = [name for name in self.images if name[-4:].lower() == ".png"]
        if not drawings:
            return
        stems = {name.rpartition(".")[0] for name in self.images}
        masks = {name for name in drawings if _is_in_mask_folder(name)}
        bare = {_stem(name) for name in self.images if name not in masks} if masks else set()
        for name in drawings:
            match = OVERLAY.fullmatch(name)
            overlay = match and (match[1] in self.images or match[2] in stems)
            if overlay or (name in masks and _stem(name) in bare):
                del self.images[name]
                self.overlays += 1

    @property
    def notes(self) -> list[str]:
        """What was passed over, one sentence for each kind."""
        notes = []
        if self.overlays:
            notes.append(f"{self.overlays} overlays and masks among the images are no images to annotate.")
        if self.unread:
            kinds = ", ".join(f"{suffix} {count}" for suffix, count in sorted(self.unread.items()))
            notes.append(f"{quantity(self.unread.total(), 'file')} of kinds that alcli does not read: {kinds}.")
        for what, count in sorted(self.apart.items()):
            notes.append(f"{quantity(count, 'image file')} in {what}: passed over, not images to annotate.")
        notes += [f"{name} is not entered." for name in sorted(self.closed)]
        return notes


def list_images(root: Path, apart: Sequence[Apart] = ()) -> Listing:
    """List the images below the root; hidden files, folders kept apart and ``LEFT_BY_SYSTEMS`` are passed over.

    Raises:
        PlatformError: there is no such folder, or it or a folder below cannot be read.
    """
    if not is_folder(root):
        raise PlatformError(f"There is no folder {root}.", kept=KEPT, do="Is the disk mounted? See platform.images.")
    listing = Listing()
    kept_apart = {_inside(root, each.folder): each for each in apart if _lies_below(root, each.folder)}
    for start, entry in _entries(root, root, kept_apart, listing):
        suffix = _suffix(entry)
        if suffix in SUFFIXES:
            _add_image(start, entry, listing)
        elif suffix in UNREAD_SUFFIXES:
            listing.add_unread(entry.name, suffix)
    outside = {name.rpartition("/")[2] for name in listing.images} if kept_apart else set()
    for folder, each in kept_apart.items():
        for start, entry in _entries(folder, root, kept_apart, listing) if is_folder(folder) else ():
            if _suffix(entry) not in SUFFIXES:
                continue
            if (each.moved or not outside) and entry.name not in outside:
                _add_image(start, entry, listing)
            else:
                listing.apart[each.what] += 1
    listing.drop_overlays()
    return listing


def is_folder(path: Path) -> bool:
    """Whether it is a folder; raises PlatformError if nobody can know."""
    try:
        return stat.S_ISDIR(path.stat().st_mode)
    except OSError as error:
        if error.errno in NOTHING_THERE:
            return False
        raise closed_folder(error, "images") from None


def has_images(root: Path) -> bool:
    """Whether there is any image below the root; stops at the first. Raises PlatformError if nobody can know."""
    return any(_suffix(entry) in SUFFIXES for _, entry in _entries(root, root, {}, Listing()))


def _lies_below(root: Path, folder: Path) -> bool:
    return root.resolve() in folder.resolve().parents


def _inside(root: Path, folder: Path) -> Path:
    """The folder's path as a walk from the root names it."""
    return root / folder.resolve().relative_to(root.resolve())


@dataclass(frozen=True)
class _Start:
    """What the names and addresses of all entries of a folder start with: worked out once, not for each entry."""

    name: str
    address: str

    @classmethod
    def of(cls, entry: os.DirEntry[str], root: Path) -> _Start:
        """The start of one entry, and of all others in the same folder."""
        path, length = entry.path, len(entry.name)
        inside = os.path.relpath(path, root) if str(root) == "." else path[len(str(root)) :].lstrip("/")
        return cls(readable(inside[:-length]), path_to_uri(path[:-length]))

    def name_of(self, entry: os.DirEntry[str]) -> str:
        """The entry's path relative to the root, as valid UTF-8."""
        return self.name + readable(entry.name)

    def address_of(self, entry: os.DirEntry[str]) -> str:
        """What ``path_to_uri`` gives for the entry's path."""
        name = entry.name
        return self.address + (name if PLAIN.fullmatch(name) else quote(os.fsencode(name)))


def _entries(
    start: Path, root: Path, apart: Mapping[Path, Apart], listing: Listing
) -> Iterator[tuple[_Start, os.DirEntry[str]]]:
    """Yield every entry below ``start`` that is no folder; linked folders are refused, those kept apart not entered."""
    folders = [start]
    while folders:
        prefix: _Start | None = None
        for entry in _scan(folders.pop()):
            if entry.name.startswith("."):
                continue
            prefix = prefix or _Start.of(entry, root)
            if entry.is_dir(follow_symlinks=False):
                if entry.name in LEFT_BY_SYSTEMS:
                    listing.closed.append(prefix.name_of(entry))
                elif Path(entry.path) not in apart:
                    folders.append(Path(entry.path))
            elif entry.is_symlink() and os.path.isdir(entry.path):  # noqa: PTH112 (pathlib raises behind closed doors)
                # A link may point outside the folder, or back to one of its parents.
                name = prefix.name_of(entry)
                listing.refusals.append(Refusal(name, name, "a linked folder is not entered"))
            else:
                yield prefix, entry


def _scan(folder: Path) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            yield from entries
    except OSError as error:
        raise closed_folder(error, "images") from None


def _suffix(entry: os.DirEntry[str]) -> str:
    """Pathlib would say the same, but takes most of the time of a listing of a million files."""
    _, dot, end = entry.name.rpartition(".")
    return f".{end.lower()}" if dot else ""


def _add_image(start: _Start, entry: os.DirEntry[str], listing: Listing) -> None:
    name = start.name_of(entry)
    try:
        facts = entry.stat()
    except OSError as error:
        if error.errno not in NOTHING_THERE and not entry.is_symlink():
            # The folder lets itself be listed, not entered: its images are not gone.
            raise closed_folder(error, "images") from None
        listing.refusals.append(Refusal(name, name, f"cannot be opened: {error.strerror}"))
        return
    if not stat.S_ISREG(facts.st_mode):
        # Opening a pipe would block forever.
        listing.refusals.append(Refusal(name, name, "not a regular file"))
        return
    listing.images[name] = (start.address_of(entry), f"{facts.st_size}-{facts.st_mtime_ns}")


def _is_in_mask_folder(name: str) -> bool:
    *folders, last = name.split("/")
    return last.lower().endswith(".png") and any(folder.lower() in MASK_FOLDERS for folder in folders)


def _stem(name: str) -> str:
    return name.rpartition("/")[2].rpartition(".")[0]
