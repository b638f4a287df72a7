"""Folders that other people fill: what a system adds to them, and what it means that one is closed."""

from __future__ import annotations

import errno

from alcli.errors import PlatformError

LEFT_BY_SYSTEMS = frozenset(
    {"__MACOSX", "lost+found", "System Volume Information", "$RECYCLE.BIN", "@eaDir", "#recycle"}
)
"""Folders that an operating system or a network storage adds, with copies, thumbnails or deleted files; some of them
only root can enter."""
KEPT = "What was pulled before is kept, and the annotators' queue is unchanged."
NOTHING_THERE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)


def closed_folder(error: OSError, setting: str) -> PlatformError:
    """The error for a folder that cannot be read: what lies behind a closed door is not known, and may be anything."""
    return PlatformError(
        f"{error.filename} cannot be read: {error.strerror}.",
        kept=KEPT,
        do=f"Is the disk mounted, and may this user enter the folder? See platform.{setting}.",
    )
