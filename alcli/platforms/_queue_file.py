"""The queue as a CSV file, for platforms without a queue of their own."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from alcli.errors import DataError, UsageError
from alcli.items import QueryRow, QueuedItem, Receipt
from alcli.priorities import priorities
from alcli.system.files import SHARED, atomic_write, remove_leftovers
from alcli.system.tables import read, write_rows

QUEUE_COLUMNS = ("position", "name", "entropy_value", "asked")


class QueueFile:
    """``push`` and ``queue`` of a platform, stored in one file that is replaced atomically; its item ids are names.

    A queue outside the workspace belongs to the first workspace that writes it. A hidden file next to it,
    ``.queue.csv.owner``, names that workspace. A queue inside a workspace belongs to that one.
    """

    _queue: Path
    _workspace: Path | None = None
    """The workspace that writes the queue; None: no other one can know the file."""

    def check_queue(self) -> None:
        """Raise UsageError if another workspace has written this queue."""
        owner = self._owner()
        if owner is None or owner == self._own_path():
            return
        advice = f"Give this workspace its own: --set platform.queue={self._own_path()}/queue.csv (or in alcli.toml)."
        if owner in self._queue.resolve().parents:
            raise UsageError(
                f"The queue {self._queue} lies in another workspace, {owner}, and belongs to it.",
                kept="The queue is unchanged.",
                do=advice,
            )
        gone = "" if (owner / "alcli.toml").exists() else ", which is not there any more"
        raise UsageError(
            f"The queue {self._queue} belongs to another workspace: {owner}{gone}.",
            kept="The queue is unchanged.",
            do=f"{advice} If that workspace was moved or is no longer used, delete {self._mark()} and run this again.",
        )

    def push(self, query: Sequence[QueryRow]) -> Iterator[Receipt]:
        """Replace the queue with these rows, in order."""
        check_target(self._queue)
        self.check_queue()
        self._claim()
        remove_leftovers(self._queue.parent)
        with atomic_write(self._queue, permissions=SHARED) as stream:
            pairs = zip(query, priorities(len(query)), strict=True)
            rows = ((row.rank, row.item.name, priority, "yes" if row.asked else "no") for row, priority in pairs)
            write_rows(stream, QUEUE_COLUMNS, rows)
        for row in query:
            yield Receipt(row.item.id, row.rank, accepted=True)

    def queue(self) -> Sequence[QueuedItem]:
        """The queue in the file; empty when there is no file yet."""
        check_target(self._queue)
        if not self._queue.is_file():
            return []
        try:
            rows = read(self._queue) or _check_header(self._queue)
            return [QueuedItem(int(row["position"]), row["name"], row["name"], row["asked"] == "yes") for row in rows]
        except (DataError, KeyError, ValueError):
            raise DataError(
                f"{self._queue} was not written by alcli, or it has been edited.",
                do="Move it away, then push again.",
            ) from None

    def _own_path(self) -> Path | None:
        return self._workspace.resolve() if self._workspace else None

    def _mark(self) -> Path:
        return self._queue.with_name(f".{self._queue.name}.owner")

    def _owner(self) -> Path | None:
        """The workspace that the queue lies in or that has written it; None for this one, or if nobody has."""
        own = self._own_path()
        if own is None:
            return None
        around = next(filter(_is_workspace, self._queue.resolve().parents), None)
        if around is not None or own in self._queue.resolve().parents:
            return None if around == own else around
        if not self._mark().is_file():
            return None
        name = self._mark().read_bytes().strip()
        return Path(os.fsdecode(name)) if name else None

    def _claim(self) -> None:
        own = self._own_path()
        if own is None or own in self._queue.resolve().parents or self._owner() == own:
            return
        with atomic_write(self._mark(), "wb", SHARED) as stream:
            stream.write(os.fsencode(own) + b"\n")


def _check_header(path: Path) -> list[dict[str, str]]:
    """No rows; raises ValueError unless the file is empty or has the columns of a queue."""
    with path.open(encoding="utf-8") as stream:
        header = stream.readline().strip()
    if header and header.split(",") != list(QUEUE_COLUMNS):
        raise ValueError(header)
    return []


def _is_workspace(folder: Path) -> bool:
    return (folder / "alcli.toml").is_file() and (folder / "alcli.db").is_file()


def queue_effects(queue: Path | None, *folders: Path | None) -> dict[str, str]:
    """The effect of ``platform.queue``: it is harmless only as a CSV file below one of these folders."""
    if queue is None:
        return {}
    inside = any(folder is not None and queue.is_relative_to(folder) for folder in folders)
    return {} if inside and queue.suffix.lower() == ".csv" else {"queue": f"The queue would be written to {queue}."}


def check_target(path: Path) -> None:
    """Raise UsageError if the queue is a link, or anything but a regular file."""
    try:
        kind = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISREG(kind):
        name = "a link" if stat.S_ISLNK(kind) else "no regular file"
        raise UsageError(f"The queue {path} is {name}.", do="Remove it, or set platform.queue to another file.")
