"""The queue as a CSV file, for platforms without a queue of their own."""

from __future__ import annotations

import csv
import io
import itertools
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING

from alcli.errors import DataError, UsageError
from alcli.items import QueryRow, QueuedItem, Receipt
from alcli.priorities import priorities
from alcli.system.files import SHARED, atomic_write, remove_leftovers
from alcli.system.hashing import sha256_of
from alcli.system.tables import write_rows
from alcli.system.text import quantity

if TYPE_CHECKING:
    from _typeshed import SupportsWrite

QUEUE_COLUMNS = ("position", "name", "entropy_value", "asked")
ENCODING = ("utf-8-sig", "replace")
"""Bytes in another encoding make another name, which the next push puts right."""


class QueueFile:
    """``push`` and ``queue`` of a platform, stored in one file that is replaced atomically; its item ids are names.

    A queue outside the workspace belongs to the first workspace that writes it. A hidden file next to it,
    ``.queue.csv.owner``, names that workspace. A queue inside a workspace belongs to that one.
    """

    queue_was_edited = False
    """Whether the file that ``queue`` has read is not, byte for byte, what ``push`` writes for its rows."""
    queue_sha256 = ""
    """SHA-256 of the file that ``queue`` has read; empty if there was none."""
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
            _write(stream, ((row.rank, row.item.name, row.asked) for row in query), len(query))
        for row in query:
            yield Receipt(row.item.id, row.rank, accepted=True)

    def queue(self) -> Sequence[QueuedItem]:
        """The queue in the file, in the order of its lines; empty when there is no file yet.

        A file that a spreadsheet has saved is read, too. Raises DataError for a file that is no queue, and for one with
        columns of somebody's own, which the next push would lose.
        """
        check_target(self._queue)
        self.queue_was_edited, self.queue_sha256 = False, ""
        if not self._queue.is_file():
            return []
        content = self._queue.read_bytes()
        try:
            entries = _entries(content, self._queue)
        except (csv.Error, KeyError, ValueError):
            raise DataError(
                f"{self._queue} was not written by alcli, or it has been edited.",
                do="Move it away, then push again.",
            ) from None
        written = _Digest()
        _write(written, ((entry.position, entry.name, bool(entry.asked)) for entry in entries), len(entries))
        self.queue_sha256 = sha256(content).hexdigest()
        self.queue_was_edited = written.hexdigest() != self.queue_sha256
        return entries

    def hash_queue(self) -> str:
        """SHA-256 of the file as it is now; empty if there is none. Raises UsageError for anything but a file."""
        check_target(self._queue)
        return sha256_of(self._queue) if self._queue.is_file() else ""

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


class _Digest:
    """SHA-256 of what is written, of which nothing is kept."""

    def __init__(self) -> None:
        self._digest = sha256()

    def write(self, text: str) -> None:
        self._digest.update(text.encode())

    def hexdigest(self) -> str:
        return self._digest.hexdigest()


def _write(stream: SupportsWrite[str], entries: Iterable[tuple[int, str, bool]], count: int) -> None:
    """Write (position, name, whether it is asked for) of each of ``count`` entries."""
    pairs = zip(entries, priorities(count), strict=True)
    rows = ((rank, name, priority, "yes" if asked else "no") for (rank, name, asked), priority in pairs)
    write_rows(stream, QUEUE_COLUMNS, rows)


def _entries(content: bytes, path: Path) -> list[QueuedItem]:
    """Read a queue, also as a spreadsheet saves it: with a byte-order mark, semicolons or tabs, empty cells and lines.

    Raises:
        ValueError, KeyError, csv.Error: it is no queue. DataError: it has columns of somebody's own.
    """
    separator = _separator(content)
    if not separator:
        return []
    rows = _rows(content, separator)
    header = [cell.strip() for cell in next(rows, [])]
    places = [header.index(name) for name in QUEUE_COLUMNS]
    entries, cells, width, longest = [], itemgetter(*places), 1 + max(places), 0
    for number, row in enumerate(rows, 1):
        longest = max(longest, len(row))
        if len(row) < width:
            row += [""] * (width - len(row))
        position, name, _, asked = cells(row)
        int(position)
        entries.append(QueuedItem(number, name, name, asked == "yes"))
    if header != list(QUEUE_COLUMNS) or longest > len(header):
        _check_columns(header, itertools.islice(_rows(content, separator), 1, None), path)
    return entries


def _separator(content: bytes) -> str:
    """What stands between the cells; empty for a file without any."""
    text = content.decode(*ENCODING)
    return next((mark for mark in ";\t" if mark in text.partition("\n")[0]), ",") if text.strip() else ""


def _rows(content: bytes, separator: str) -> Iterator[list[str]]:
    """The lines that are not empty, decoded piece by piece: a million of them take less memory as entries."""
    text = io.TextIOWrapper(io.BytesIO(content), *ENCODING, newline="")
    return filter(any, csv.reader(text, delimiter=separator, strict=True))


def _check_columns(header: Sequence[str], rows: Iterable[Sequence[str]], path: Path) -> None:
    """Raise DataError for columns with content that alcli did not write."""
    own: dict[str, int] = {}
    for row in rows:
        for place, cell in enumerate(row):
            name = header[place] if place < len(header) else ""
            if cell.strip() and name not in QUEUE_COLUMNS:
                own[name or "without a name"] = own.get(name or "without a name", 0) + 1
    if own:
        columns = ", ".join(f"{name} ({quantity(count, 'row')})" for name, count in own.items())
        raise DataError(
            f"{path} has columns of somebody's own, which the next push would lose: {columns}.",
            kept="The queue is unchanged.",
            do=f"Move it to another name (mv {path.name} {path.stem}-notes{path.suffix}), then run the same command:"
            " the queue is written anew.",
        )


def _is_workspace(folder: Path) -> bool:
    return (folder / "alcli.toml").is_file() and (folder / "alcli.db").is_file()


def queue_effects(queue: Path | None, *folders: Path | None) -> dict[str, str]:
    """The effect of ``platform.queue``: it is harmless only as a CSV file below one of these folders.

    A linked folder counts as the folder that it leads to, for the queue and for the folders.
    """
    if queue is None:
        return {}
    target = queue.parent.resolve()
    inside = any(folder is not None and target.is_relative_to(folder.resolve()) for folder in folders)
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
