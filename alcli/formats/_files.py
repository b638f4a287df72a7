"""Which files below a folder can be annotations."""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif"})
NOT_OPENED = "not a regular file that can be opened"
LEFT_BY_SYSTEMS = frozenset({"__MACOSX"})
"""Folders that an operating system adds to an archive."""
MOST_NAMED = 6


def annotation_files(root: Path, *suffixes: str) -> list[Path]:
    """Everything below the root with one of these suffixes (any case), sorted; a file stands for itself."""
    if root.is_file():
        return [root]
    return sorted(path for path in _walk(root) if path.suffix.lower() in suffixes)


def has_files(root: Path, *suffixes: str) -> bool:
    """Whether anything below the folder has one of these suffixes; stops at the first."""
    return any(path.suffix.lower() in suffixes for path in _walk(root))


def describe_files(root: Path, without: str = "") -> str:
    """Count the files below a folder by suffix, apart from one name: ``40 .txt, 2 .png``; empty for an empty folder."""
    files = (path for path in _walk(root) if path.name != without and not path.is_dir())
    counts = Counter(path.suffix.lower() or path.name for path in files)
    ordered = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    named = ", ".join(f"{count} {suffix}" for suffix, count in ordered[:MOST_NAMED])
    return named + (" and others" if len(counts) > MOST_NAMED else "")


def file_version(path: Path) -> str:
    """Size, modification and change time; empty for anything but a readable regular file.

    The change time, which no program can set back, finds an edit that keeps size and modification time.
    """
    try:
        facts = path.stat()
    except OSError:
        return ""
    return f"{facts.st_size}-{facts.st_mtime_ns}-{facts.st_ctime_ns}" if stat.S_ISREG(facts.st_mode) else ""


def _walk(root: Path) -> Iterator[Path]:
    """Files and folders, without hidden ones (``._x.xml`` of macOS), linked folders and ``LEFT_BY_SYSTEMS``."""
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in LEFT_BY_SYSTEMS)
        for name in (*folders, *names):
            if not name.startswith("."):
                yield Path(folder, name)
