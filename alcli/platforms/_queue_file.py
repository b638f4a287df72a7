"""The queue as a CSV file, for platforms without a queue of their own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from alcli.errors import DataError
from alcli.items import QueryRow, QueuedItem, Receipt
from alcli.priorities import priorities
from alcli.system.files import SHARED, atomic_write, remove_leftovers
from alcli.system.tables import read, write_rows

QUEUE_COLUMNS = ("position", "name", "entropy_value", "asked")


class QueueFile:
    """``push`` and ``queue`` of a platform, stored in one file that is replaced atomically; its item ids are names."""

    _queue: Path

    def push(self, query: Sequence[QueryRow]) -> Iterator[Receipt]:
        """Replace the queue with these rows, in order."""
        remove_leftovers(self._queue.parent)
        with atomic_write(self._queue, permissions=SHARED) as stream:
            pairs = zip(query, priorities(len(query)), strict=True)
            rows = ((row.rank, row.item.name, priority, "yes" if row.asked else "no") for row, priority in pairs)
            write_rows(stream, QUEUE_COLUMNS, rows)
        for row in query:
            yield Receipt(row.item.id, row.rank, accepted=True)

    def queue(self) -> Sequence[QueuedItem]:
        """The queue in the file; empty when there is no file yet."""
        if not self._queue.is_file():
            return []
        try:
            rows = read(self._queue)
            return [QueuedItem(int(row["position"]), row["name"], row["name"], row["asked"] == "yes") for row in rows]
        except (DataError, KeyError, ValueError):
            raise DataError(
                f"{self._queue} was not written by alcli, or it has been edited.",
                do="Move it away, then push again.",
            ) from None
