"""Atomic writes: temporary file, fsync, rename, fsync of the folder."""

from __future__ import annotations

import contextlib
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
            yield stream
            stream.flush()
            os.fchmod(stream.fileno(), permissions)
            os.fsync(stream.fileno())
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
    """Delete temporary files that an interrupted ``atomic_write`` left in these folders."""
    for folder in folders:
        for path in folder.glob(f"{TEMPORARY_PREFIX}*"):
            path.unlink(missing_ok=True)
