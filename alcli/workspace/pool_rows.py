"""The rows of items: what a pull writes, and what is read a million at a time."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Any

from alcli.annotations import Annotation
from alcli.errors import DataError, WorkspaceDamaged
from alcli.items import QUARANTINED, SKIPPED, STATES, UNLABELED, Item, Pool
from alcli.workspace.records import Skip
from alcli.workspace.statements import PUT_ITEM, QUARANTINED_ITEMS, SKIPPED_ITEMS

_SHARED_STATES = {state: state for state in STATES}


@dataclass(frozen=True)
class PoolDifference:
    """What the platform lists now that differs from the pool.

    Attributes:
        changed: new items, and those of which something differs.
        new: number of ids that the pool does not have.
        gone: ids that the platform lists no longer.
        known: number of items in the pool.
    """

    changed: Sequence[Item]
    new: int
    gone: Sequence[str]
    known: int

    def __bool__(self) -> bool:
        return bool(self.changed or self.gone)


class PoolRows:
    """Reads and writes items and skips; every method is one transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._read: tuple[int | None, Mapping[str, Item]] = (None, {})

    def pool(self, forgiving: Sequence[str] = ()) -> Pool:
        """All items as the last pull saw them; quarantine of the stages ``forgiving`` does not count."""
        quarantined = self._connection.execute(
            "SELECT q.item_id FROM quarantine q JOIN items i ON i.id = q.item_id AND i.version = q.version"
            " WHERE q.stage NOT IN (SELECT value FROM json_each(?))",
            (json.dumps(forgiving),),
        )
        return Pool(self._items(), frozenset(row["item_id"] for row in quarantined))

    def _items(self) -> Mapping[str, Item]:
        """All items by id; the same mapping until they change, because reading a million takes seconds."""
        version = self._connection.execute("PRAGMA data_version").fetchone()[0]  # changes with writes of others
        if self._read[0] != version:
            cursor = self._connection.cursor()
            cursor.row_factory = None  # plain tuples cost half as much as rows that know their columns
            cursor.execute("SELECT id, name, uri, folder, state, version, assignees FROM items ORDER BY id")
            items = {row[0]: _item(*row) for row in cursor}
            for item_id in self._skip_ids(items.values()):
                items[item_id] = replace(items[item_id], state=SKIPPED)
            self._read = (version, items)
        return self._read[1]

    def listing(self) -> Iterator[tuple[str, str, str]]:
        """(name, state, folder) of every item in the order of the ids, as ``pool`` says it, one at a time."""
        states = {row[0]: SKIPPED for row in self._connection.execute(SKIPPED_ITEMS)} if self.skips() else {}
        states.update((row[0], QUARANTINED) for row in self._connection.execute(QUARANTINED_ITEMS))
        for item_id, name, state, folder in self._connection.execute(
            "SELECT id, name, state, folder FROM items ORDER BY id"
        ):
            yield name, states.get(item_id, state), folder

    def counts(self) -> dict[str, int]:
        """Number of items in each state, as ``pool().counts()`` says it, without reading a million items."""
        totals = ", ".join(f"TOTAL(state = '{state}') AS {state}" for state in STATES)
        row = self._connection.execute(f"SELECT COUNT(*) AS all_items, {totals} FROM items").fetchone()
        counts = {state: int(row[state]) for state in STATES}
        if sum(counts.values()) != row["all_items"]:
            raise WorkspaceDamaged(
                "The database is damaged: an item has a state that does not exist.", do="Restore it from a backup."
            )
        moved = [(QUARANTINED, QUARANTINED_ITEMS)]
        if self.skips():
            moved.append((SKIPPED, SKIPPED_ITEMS))
        for state, query in moved:
            for group in self._connection.execute(f"SELECT state, COUNT(*) AS count FROM ({query}) GROUP BY state"):
                counts[group["state"]] -= group["count"]
                counts[state] += group["count"]
        return counts

    # Items that nobody wants to be asked for

    def skips(self) -> list[Skip]:
        """What is skipped, in the order of the names."""
        rows = self._connection.execute("SELECT item_id, name, folder, since FROM skips ORDER BY name, folder")
        return [Skip(*row) for row in rows]

    def skip(self, items: Iterable[Item], since: str) -> None:
        """Never ask for these again, whatever the platform calls them later."""
        with self._pool_transaction():
            self._connection.executemany(
                "INSERT OR IGNORE INTO skips VALUES (?, ?, ?, ?)",
                ((item.id, item.name, item.folder, since) for item in items),
            )

    def unskip(self, item_ids: Iterable[str]) -> None:
        """Ask for these again, by the ids that ``skips`` returns."""
        with self._pool_transaction():
            self._connection.executemany("DELETE FROM skips WHERE item_id = ?", ((item_id,) for item_id in item_ids))

    def _skip_ids(self, items: Collection[Item]) -> list[str]:
        """Ids of unlabeled items that are skipped: by id, or by folder and name, which another platform keeps."""
        skips = self.skips()
        if not skips:
            return []
        ids = {skip.item_id for skip in skips}
        names = {(skip.folder, skip.name) for skip in skips}
        return [
            item.id
            for item in items
            if item.state == UNLABELED and (item.id in ids or (item.folder, item.name) in names)
        ]

    def labeled(self) -> dict[str, Item]:
        """The items that the last pull saw labeled, by id."""
        rows = self._connection.execute(
            "SELECT id, name, uri, folder, state, version, assignees FROM items WHERE state = 'labeled'"
        )
        return {row[0]: _item(*row) for row in rows}

    def difference(self, items: Sequence[Item]) -> PoolDifference:
        """Compare the pool with what the platform lists now, in every particular.

        Both are walked side by side in the order of the ids, so that a million items need no second set of records.
        """
        cursor = self._connection.cursor()
        cursor.row_factory = None  # plain tuples, which compare at once
        encoding = cursor.execute("PRAGMA encoding").fetchone()[0]
        cursor.execute("SELECT id, name, uri, folder, state, version, assignees FROM items ORDER BY id")
        # SQLite orders by bytes: in UTF-8 as Python does, in an encoding that alcli never chooses otherwise.
        rows = iter(cursor) if encoding == "UTF-8" else iter(sorted(cursor))
        changed: list[Item] = []
        gone: list[str] = []
        new = known = 0
        stored, last = next(rows, None), ""
        for item in sorted(items, key=attrgetter("id")):
            while stored is not None and stored[0] < item.id:
                gone.append(stored[0])
                stored, known = next(rows, None), known + 1
            if stored is not None and stored[0] == item.id:
                if stored != _values(item):
                    changed.append(item)
                stored, known = next(rows, None), known + 1
            else:
                changed.append(item)
                new += item.id != last
            last = item.id
        rest = [stored[0], *(row[0] for row in rows)] if stored is not None else []
        return PoolDifference(changed, new, [*gone, *rest], known + len(rest))

    def replace_items(
        self,
        items: Iterable[Item],
        changed: Iterable[tuple[Item, Annotation]],
        difference: PoolDifference | None = None,
    ) -> None:
        """Make the pool what the platform lists now; annotations of items no longer labeled go.

        Only what differs is written. Raises DataError if an id occurs twice.

        Args:
            difference: of the same items, if it is known already and nothing was written since.
        """
        items = list(items)
        with self._pool_transaction() as execute:
            difference = self.difference(items) if difference is None else difference
            if difference.known + difference.new - len(difference.gone) < len(items):
                twice = next(name for name, count in Counter(item.id for item in items).items() if count > 1)
                raise DataError(f"The platform lists {twice!r} twice.", kept="What was pulled before is kept.")
            self._connection.executemany(PUT_ITEM, map(_values, difference.changed))
            self._connection.executemany("DELETE FROM items WHERE id = ?", ((each,) for each in difference.gone))
            self._connection.executemany(
                "INSERT OR REPLACE INTO annotations VALUES (?, ?, ?)",
                ((item.id, item.version, annotation.to_json()) for item, annotation in changed),
            )
            execute("DELETE FROM annotations WHERE item_id NOT IN (SELECT id FROM items WHERE state = 'labeled')")
            execute("DELETE FROM images WHERE item_id NOT IN (SELECT id FROM items)")
            # Quarantine of another version of the file is settled: the item was mended or replaced.
            execute(
                "DELETE FROM quarantine WHERE stage <> 'listing' AND NOT EXISTS"
                " (SELECT 1 FROM items i WHERE i.id = quarantine.item_id AND i.version = quarantine.version)"
            )

    def versions(self, state: str) -> Iterator[tuple[str, str]]:
        """(id, version) of the items in this state of the platform, in the order of their ids; skipped ones apart."""
        if self.skips():
            for item in self.pool().in_state_of_platform(state):
                yield item.id, item.version
            return
        cursor = self._connection.cursor()
        cursor.row_factory = None
        yield from cursor.execute("SELECT id, version FROM items WHERE state = ? ORDER BY id", (state,))

    def labels_as_stored(self) -> Iterator[tuple[str, str]]:
        """(id, annotation in JSON) of the labeled items, in the order of their ids."""
        rows = self._connection.execute(
            "SELECT item_id, content FROM annotations WHERE item_id IN (SELECT id FROM items WHERE state = 'labeled')"
            " ORDER BY item_id"
        )
        for row in rows:
            yield row[0], row[1]

    def update_items(self, items: Iterable[Item]) -> None:
        """Remember the present state and assignees of items that are in the pool; nothing else of them changes."""
        with self._pool_transaction():
            self._connection.executemany(
                "UPDATE items SET state = ?, assignees = ? WHERE id = ?",
                ((item.state, item.assignees, item.id) for item in items),
            )

    @contextlib.contextmanager
    def _pool_transaction(self) -> Iterator[Any]:
        """A transaction that may change items or skips, which are read again after it."""
        try:
            with self._transaction() as execute:
                yield execute
        finally:
            self._read = (None, {})

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[Any]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield self._connection.execute
        except BaseException:
            # A full disk makes SQLite take everything back itself.
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")


_values = attrgetter("id", "name", "uri", "folder", "state", "version", "assignees")


def _item(item_id: str, name: str, uri: str, folder: str, state: str, version: str, assignees: str) -> Item:
    """An item whose strings are shared with others where they are equal: a pool holds a million of them."""
    name = item_id if name == item_id else name
    return Item(item_id, name, uri, folder, _SHARED_STATES.get(state, state), version, assignees)
