"""Which files below a folder are images to annotate, and which only lie among them."""

from __future__ import annotations

import os
import re
import stat
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from alcli.items import Refusal
from alcli.system.text import quantity, readable

SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif"})
UNREAD_SUFFIXES = frozenset(
    {".heic", ".heif", ".avif", ".dcm", ".jp2", ".jxl", ".psd", ".svg", ".dng", ".cr2", ".nef", ".arw", ".raw"}
    | {".mp4", ".avi", ".mov", ".mkv", ".webm", ".pdf"}
)
"""Pictures and films of kinds that alcli does not read; they are counted."""
OVERLAY = re.compile(r"(.+)___(?:fuse|save|pixel)\.png|(.+)_mask\.png", re.IGNORECASE)
"""Files that SuperAnnotate (``a.jpg___fuse.png``) and Roboflow (``a_mask.png``) write next to their image."""


@dataclass
class Listing:
    """The images below a folder.

    Attributes:
        images: (path, version) by relative POSIX path.
        refusals: entries with an image's name that are no readable file.
        overlays: how many drawings of annotations were passed over.
        unread: files of unread kinds, by suffix.
    """

    images: dict[str, tuple[Path, str]] = field(default_factory=dict)
    refusals: list[Refusal] = field(default_factory=list)
    overlays: int = 0
    unread: Counter[str] = field(default_factory=Counter)

    @property
    def notes(self) -> list[str]:
        """What was passed over, one sentence for each kind."""
        notes = []
        if self.overlays:
            notes.append(f"{self.overlays} overlays and masks among the images are no images to annotate.")
        if self.unread:
            kinds = ", ".join(f"{suffix} {count}" for suffix, count in sorted(self.unread.items()))
            notes.append(f"{quantity(self.unread.total(), 'file')} of kinds that alcli does not read: {kinds}.")
        return notes


def list_images(root: Path, masks: Path | None = None) -> Listing:
    """List the images below the root; hidden files and the folder of masks are skipped."""
    listing = Listing()
    for entry in _entries(root, masks, listing):
        suffix = _suffix(entry)
        if suffix in SUFFIXES:
            _add_image(entry, root, listing)
        elif suffix in UNREAD_SUFFIXES:
            listing.unread[suffix] += 1
    _drop_overlays(listing)
    return listing


def has_images(root: Path) -> bool:
    """Whether there is any image below the root; stops at the first."""
    return any(_suffix(entry) in SUFFIXES for entry in _entries(root, None, Listing()))


def _entries(root: Path, masks: Path | None, listing: Listing) -> Iterator[os.DirEntry[str]]:
    """Yield every entry that is no folder; linked folders are refused."""
    folders = [root]
    while folders:
        with os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    folders += [] if Path(entry.path) == masks else [Path(entry.path)]
                elif entry.is_symlink() and Path(entry.path).is_dir():
                    # A link may point outside the folder, or back to one of its parents.
                    name = _name(entry, root)
                    listing.refusals.append(Refusal(name, name, "a linked folder is not entered"))
                else:
                    yield entry


def _suffix(entry: os.DirEntry[str]) -> str:
    """Pathlib would say the same, but takes most of the time of a listing of a million files."""
    return os.path.splitext(entry.name)[1].lower()  # noqa: PTH122


def _name(entry: os.DirEntry[str], root: Path) -> str:
    return readable(os.path.relpath(entry.path, root) if str(root) == "." else entry.path[len(str(root)) :].lstrip("/"))


def _add_image(entry: os.DirEntry[str], root: Path, listing: Listing) -> None:
    name = _name(entry, root)
    try:
        facts = entry.stat()
    except OSError as error:
        listing.refusals.append(Refusal(name, name, f"cannot be opened: {error.strerror}"))
        return
    if not stat.S_ISREG(facts.st_mode):
        # Opening a pipe would block forever.
        listing.refusals.append(Refusal(name, name, "not a regular file"))
        return
    listing.images[name] = (Path(entry.path), f"{facts.st_size}-{facts.st_mtime_ns}")


def _drop_overlays(listing: Listing) -> None:
    """Drop every overlay whose image is in the listing; without its image a file is an image like any other."""
    stems = {name.rpartition(".")[0] for name in listing.images}
    for name in list(listing.images):
        match = OVERLAY.fullmatch(name)
        if match and (match[1] in listing.images or match[2] in stems):
            del listing.images[name]
            listing.overlays += 1
