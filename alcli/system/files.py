"""Atomic writes: temporary file, fsync, rename, fsync of the folder."""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

TEMPORARY_PREFIX = ".alcli-tmp-"
PRIVATE = 0o600
SHARED = 0o644


@contextlib.contextmanager
def atomic_write(
    path: Path, mode: str = "w", permissions: int = PRIVATE, beside: Path | None = None
) -> Iterator[IO[Any]]:
    """Open a temporary file that replaces ``path`` when the block ends without an error.

    Text is UTF-8, and line ends are written as given. After the block, the content and its name survive a power cut.

    Args:
        beside: the folder of the temporary file, on the same disk; by default the folder of ``path``.
    """
    newline = None if "b" in mode else ""
    encoding = None if "b" in mode else "utf-8"
    descriptor, temporary = tempfile.mkstemp(prefix=TEMPORARY_PREFIX, dir=beside or path.parent)
    try:
        with os.fdopen(descriptor, mode, encoding=encoding, newline=newline) as stream:
            with contextlib.suppress(OSError):  # a disk without locks
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield stream
            stream.flush()
            os.fchmod(descriptor, permissions)
            os.fsync(descriptor)
            # Before closing: the lock tells other runs that the file is in use.
            Path(temporary).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(temporary).unlink()
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make renames in the folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_leftovers(*folders: Path) -> None:
    """Delete temporary files that an interrupted ``atomic_write`` left in these folders; not those still in use."""
    for folder in folders:
        for path in folder.glob(f"{TEMPORARY_PREFIX}*"):
            # Another user's file, or one that is locked because it is being written.
            with contextlib.suppress(OSError):
                _remove_unlocked(path)


def _remove_unlocked(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink(missing_ok=True)
    finally:
        os.close(descriptor)


def sync_tree(root: Path) -> None:
    """Make every file and folder below the root, and the root itself, survive a power cut."""
    for folder, _, names in os.walk(root):
        for path in (*(Path(folder, name) for name in names), Path(folder)):
            sync_folder(path)
