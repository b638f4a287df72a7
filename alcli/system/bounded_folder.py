"""A folder of files that can be made again: when it grows too large, the least recently used ones go."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterable
from pathlib import Path


class BoundedFolder:
    """The files in the folders of a folder, ``root/ab/…``; those with a suffix are notes and do not count.

    The time of a file's last use is kept as its modification time. Files in use stay, however large they are.

    Args:
        limit: bytes; None: everything stays.
    """

    def __init__(self, root: Path, limit: int | None) -> None:
        self._root, self.limit = root, limit
        self._lock = threading.Lock()
        self._sizes: dict[Path, int] = {}
        self._idle: dict[Path, None] | None = None  # the least recently used first
        self._uses: dict[Path, int] = {}
        self._used = self._total = 0

    @property
    def is_full(self) -> bool:
        """Whether the files in use fill the folder."""
        return self.limit is not None and self._used >= self.limit

    def use(self, path: Path) -> None:
        """Keep the file until ``release``, also one that is not there yet, and note that it was used now."""
        if self.limit is None:
            return
        with contextlib.suppress(OSError):
            os.utime(path)
        with self._lock:
            idle = self._known()
            if path in idle:
                del idle[path]
                self._used += self._sizes[path]
            self._uses[path] = self._uses.get(path, 0) + 1

    def measure(self, path: Path) -> int:
        """Note how large a file in use has become, and remove others for it; returns how many."""
        if self.limit is None:
            return 0
        with self._lock:
            self._known()
            growth = _size(path) - self._sizes.get(path, 0)
            self._sizes[path] = self._sizes.get(path, 0) + growth
            self._total += growth
            self._used += growth
        return self.make_room()

    def release(self, paths: Iterable[Path]) -> None:
        """Undo one ``use`` of each file."""
        if self.limit is None:
            return
        with self._lock:
            idle = self._known()
            for path in paths:
                if path not in self._uses:
                    continue
                self._uses[path] -= 1
                if not self._uses[path]:
                    del self._uses[path]
                    if path in self._sizes:
                        self._used -= self._sizes[path]
                        idle[path] = None

    def make_room(self) -> int:
        """Remove the least recently used files that are not in use, until the limit holds; returns how many."""
        if self.limit is None:
            return 0
        removed = 0
        with self._lock:
            idle = self._known()
            while self._total > self.limit and idle:
                path = next(iter(idle))
                del idle[path]
                self._total -= self._sizes.pop(path)
                removed += 1
                with contextlib.suppress(OSError):
                    path.unlink()
        return removed

    def _known(self) -> dict[Path, None]:
        """The files that are not in use, from one look at the disk."""
        if self._idle is None:
            times: list[tuple[int, str, int]] = []
            for folder in _entries(self._root):
                for entry in _entries(folder) if folder.is_dir(follow_symlinks=False) else ():
                    if "." not in entry.name and entry.is_file(follow_symlinks=False):
                        with contextlib.suppress(OSError):
                            facts = entry.stat(follow_symlinks=False)
                            times.append((facts.st_mtime_ns, entry.path, facts.st_size))
            self._idle = {}
            for _, name, size in sorted(times):
                path = Path(name)
                self._idle[path], self._sizes[path] = None, size
                self._total += size
        return self._idle


def _entries(folder: str | os.PathLike[str]) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError:
        return []


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
