"""The lock of a workspace: one writer at a time, and everybody else is told who it is."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import struct
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from alcli.errors import WorkspaceLocked
from alcli.system.clock import now

SECONDS_BETWEEN_TRIES = 0.2
SECONDS_TO_SAY_WHO = 0.5
"""A run that has just taken the lock has written its name by then."""
FLOCK = "hhqqi4x"
"""C's struct flock on Linux; elsewhere the fields have other places."""


@contextlib.contextmanager
def held(path: Path, wait: float = 0.0) -> Iterator[None]:
    """Hold the lock; raises WorkspaceLocked naming the holder after ``wait`` seconds.

    It belongs to this process alone: it ends with it, and a forked decoding worker does not inherit it. The text in the
    file is information for people, never the decision.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        _take(descriptor, wait)
        since = now()
        text = f"pid {os.getpid()} on {socket.gethostname()} since {since}: {' '.join(['alcli', *sys.argv[1:]])}"
        content = text.encode("utf-8", "surrogateescape")
        os.pwrite(descriptor, content, 0)
        os.ftruncate(descriptor, len(content))
        yield
    finally:
        os.close(descriptor)


def holder(path: Path) -> str:
    """Who else holds the lock, in words; empty when nobody does. Linux is asked; elsewhere it is tried for a moment.

    Not while this process holds the same lock, which ends with any descriptor of its file that is closed.
    """
    try:
        descriptor = os.open(path, os.O_RDWR)
    except OSError:
        return ""
    try:
        return "" if _is_free(descriptor) else _named(descriptor)
    finally:
        os.close(descriptor)


def _take(descriptor: int, wait: float) -> None:
    deadline = time.monotonic() + wait
    while True:
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except (BlockingIOError, PermissionError):
            # By turns instead of a blocking call, so that signals and the deadline are heard.
            if time.monotonic() >= deadline:
                raise WorkspaceLocked(
                    f"Another run holds this workspace: {_named(descriptor)}.",
                    do="Wait for it to end (--wait 30m); nothing has to be unlocked by hand.",
                ) from None
        time.sleep(min(SECONDS_BETWEEN_TRIES, max(deadline - time.monotonic(), 0.0)))


def _named(descriptor: int) -> str:
    """The holder by its own words; just after it took the lock these are still another's, or none."""
    deadline = time.monotonic() + SECONDS_TO_SAY_WHO
    while True:
        owner = _owner(descriptor)
        text = os.pread(descriptor, 1000, 0).decode("utf-8", "replace").strip()
        if not owner or text.startswith(f"pid {owner} "):
            return text or "unknown"
        if time.monotonic() >= deadline:
            # Just started; or in a container, where it has another number.
            return f"pid {owner} (the last that said its name: {text or 'nobody'})"
        time.sleep(0.02)


def _is_free(descriptor: int) -> bool:
    if sys.platform == "linux":
        return _owner(descriptor) is None
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    fcntl.lockf(descriptor, fcntl.LOCK_UN)
    return True


def _owner(descriptor: int) -> int | None:
    """Process id of another holder, as the system knows it; 0 where it cannot tell, None when there is no holder."""
    if sys.platform != "linux":
        return 0
    asked = struct.pack(FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    kind, _, _, _, pid = struct.unpack(FLOCK, fcntl.fcntl(descriptor, fcntl.F_GETLK, asked))
    # Of a process in another container or on another machine it is 0 or negative.
    return None if kind == fcntl.F_UNLCK else max(pid, 0)
