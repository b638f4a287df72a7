"""What the process opens for writing, makes, moves and connects to, as Python itself reports it."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_TRUNC
CHANGING = ("os.mkdir", "os.rename", "os.link", "os.symlink", "os.truncate", "os.remove", "os.rmdir", "os.chmod")
DEVICES = ("/dev/null", "/dev/tty", "/dev/full", "/dev/stdout", "/dev/stderr", "/proc/self/fd")


@dataclass
class Seen:
    """What was seen while it was watched.

    Attributes:
        written: files and folders that something was done to. addresses: that were connected to or looked up.
    """

    written: set[str] = field(default_factory=set)
    addresses: set[tuple[str, int]] = field(default_factory=set)

    def outside(self, *allowed: Path) -> list[str]:
        """What was done anywhere but below these folders."""
        inside = [folder.resolve() for folder in allowed]
        return sorted(
            path
            for path in self.written
            if not path.startswith(DEVICES) and not any(Path(path).is_relative_to(folder) for folder in inside)
        )


_watchers: list[Seen] = []
_installed: list[bool] = []


@contextlib.contextmanager
def watched() -> Iterator[Seen]:
    """Watch this process while the block runs; the hook itself can never be taken out again, only silenced."""
    if not _installed:
        sys.addaudithook(_hook)
        _installed.append(True)
    seen = Seen()
    _watchers.append(seen)
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        yield seen
    finally:
        sys.dont_write_bytecode = before
        _watchers.remove(seen)


def tree(folder: Path) -> set[str]:
    """Everything below a folder."""
    return {str(path) for path in folder.rglob("*")}


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if not _watchers:
        return
    if event == "open":
        path, mode, flags = arguments
        writes = any(letter in mode for letter in "wax+") if isinstance(mode, str) else bool((flags or 0) & WRITING)
        if writes and isinstance(path, (str, bytes, os.PathLike)):
            _note(path)
    elif event in CHANGING:
        for path in arguments[:2]:
            if isinstance(path, (str, bytes, os.PathLike)):
                _note(path)
    elif event == "socket.connect":
        _note_address(arguments[1])
    elif event == "socket.getaddrinfo":
        _note_address(arguments[:2])


def _note(path: Any) -> None:
    name = os.path.abspath(os.fsdecode(path))  # noqa: PTH100 (a Path would resolve links by asking the disk)
    for seen in _watchers:
        seen.written.add(name)


def _note_address(address: Any) -> None:
    if isinstance(address, tuple) and len(address) >= 2:
        for seen in _watchers:
            seen.addresses.add((str(address[0]), int(address[1] or 0)))
