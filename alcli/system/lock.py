"""The lock of a workspace: one writer at a time, and everyone else learns who holds it."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import os
import re
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
"""How long to wait for a run that has just acquired the lock to write its name."""
HOLDER = re.compile(r"pid (?P<pid>\d+) on (?P<host>\S+) since (?P<since>\S+): (?P<command>.*)", re.DOTALL)
"""What the holder of a lock writes into its file."""
FLOCK = "hhqqi4x"
"""C's struct flock on Linux; other systems order its fields differently."""


@contextlib.contextmanager
def hold(path: Path, wait: float = 0.0, shared: bool = False) -> Iterator[None]:
    """Hold the lock; raises WorkspaceLocked naming the holder after ``wait`` seconds.

    Args:
        shared: others may hold it shared at the same time, but nobody alone.

    The lock belongs to this process: it is released when the process ends, and forked workers do not inherit it. The
    text in the file only informs people; it never decides who holds the lock.
    """
    folder = os.open(path.parent, os.O_RDONLY)
    # A fork must not keep the folder's lock beyond the end of this process.
    os.register_at_fork(after_in_child=functools.partial(_close_quietly, folder, os.fstat(folder).st_ino))
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        _acquire(descriptor, wait, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
        _acquire_folder(folder, path, wait, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
        since = now()
        text = f"pid {os.getpid()} on {socket.gethostname()} since {since}: {' '.join(['alcli', *sys.argv[1:]])}"
        content = text.encode("utf-8", "surrogateescape")
        os.pwrite(descriptor, content, 0)
        os.ftruncate(descriptor, len(content))
        yield
    finally:
        os.close(descriptor)
        os.close(folder)


def holder(path: Path) -> str:
    """A description of the other process that holds the lock; empty when it is free.

    Linux reports the holder; other systems are probed by taking the lock for a moment. Never call this while this
    process holds the lock: closing any descriptor of the file would release it.
    """
    try:
        descriptor = os.open(path, os.O_RDWR)
    except OSError:
        return ""
    try:
        return "" if _is_free(descriptor) else _holder_name(descriptor)
    finally:
        os.close(descriptor)


def _acquire(descriptor: int, wait: float, kind: int) -> None:
    deadline = time.monotonic() + wait
    while True:
        try:
            fcntl.lockf(descriptor, kind | fcntl.LOCK_NB)
            return
        except (BlockingIOError, PermissionError):
            # Poll instead of blocking, so that signals and the deadline take effect.
            if time.monotonic() >= deadline:
                raise WorkspaceLocked(
                    f"Another run holds this workspace: {_holder_name(descriptor)}.",
                    do="Wait for it to end (--wait 30m); there is nothing to unlock by hand.",
                ) from None
        time.sleep(min(SECONDS_BETWEEN_TRIES, max(deadline - time.monotonic(), 0.0)))


def _acquire_folder(folder: int, path: Path, wait: float, kind: int) -> None:
    """Lock the folder, too: somebody may have deleted the file of a run that still holds it."""
    # A worker that outlived its run has the folder open for a moment after its start.
    deadline = time.monotonic() + max(wait, SECONDS_TO_SAY_WHO)
    while True:
        try:
            fcntl.flock(folder, kind | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise WorkspaceLocked(
                    f"Another run holds this workspace, although its {path.name} was deleted.",
                    do="Wait for it to end (--wait 30m); there is nothing to unlock by hand.",
                ) from None
        except OSError:
            return  # a network disk that cannot lock folders
        time.sleep(min(SECONDS_BETWEEN_TRIES, max(deadline - time.monotonic(), 0.0)))


def _close_quietly(descriptor: int, inode: int) -> None:
    """Close the descriptor in a child, unless its number means something else by now."""
    with contextlib.suppress(OSError):
        if os.fstat(descriptor).st_ino == inode:
            os.close(descriptor)


def _holder_name(descriptor: int) -> str:
    """How the holder describes itself; right after it acquired the lock, the file may still name an earlier one."""
    deadline = time.monotonic() + SECONDS_TO_SAY_WHO
    while True:
        owner = _holder_pid(descriptor)
        text = os.pread(descriptor, 1000, 0).decode("utf-8", "replace").strip()
        if not owner or text.startswith(f"pid {owner} "):
            return text or "unknown"
        if time.monotonic() >= deadline:
            # It has just started, or runs in a container where its pid differs.
            return f"pid {owner} (the last to write its name: {text or 'nobody'})"
        time.sleep(0.02)


def _is_free(descriptor: int) -> bool:
    if sys.platform == "linux":
        return _holder_pid(descriptor) is None
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    fcntl.lockf(descriptor, fcntl.LOCK_UN)
    return True


def _holder_pid(descriptor: int) -> int | None:
    """The pid of another process that holds the lock; 0 when the system does not report it, None when it is free."""
    if sys.platform != "linux":
        return 0
    request = struct.pack(FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    kind, _, _, _, pid = struct.unpack(FLOCK, fcntl.fcntl(descriptor, fcntl.F_GETLK, request))
    # For a process in another container or on another machine, the pid is 0 or negative.
    return None if kind == fcntl.F_UNLCK else max(pid, 0)
