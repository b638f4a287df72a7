"""The rows of items: what a pull writes, and what is read a million at a time."""

from __future__ import annotations

import contextlib
import itertools
import json
import sqlite3
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from operator import attrgetter
from typing import Any

from alcli.annotations import Annotation
from alcli.errors import DataError, WorkspaceDamaged
from alcli.items import QUARANTINED, SKIPPED, STATES, UNLABELED, Item, Pool
from alcli.workspace.records import Skip
from alcli.workspace.statements import PUT_ITEM, QUARANTINED_ITEMS, SKIPPED_ITEMS

AT_ONCE = 4096
_SHARED_STATES = {state: state for state in STATES}


class PoolRows:
    """Reads and writes items and skips; every method is one transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._read: tuple[object, Mapping[str, Item]] = (None, {})

    def pool(self, forgiving: Sequence[str] = ()) -> Pool:
        """All items as the last pull saw them; quarantine of the stages ``forgiving`` does not count."""
        quarantined = self._connection.execute(
            "SELECT q.item_id FROM quarantine q JOIN items i ON i.id = q.item_id AND i.version = q.version"
            " WHERE q.stage NOT IN (SELECT value FROM json_each(?))",
            (json.dumps(forgiving),),
        )
        return Pool(self._items(), frozenset(row["item_id"] for row in quarantined))

    def _items(self) -> Mapping[str, Item]:
        """All items by id; the same mapping until the database changes, because reading a million takes seconds."""
        version = self._connection.execute("PRAGMA data_version").fetchone()[0]
        stamp = (version, self._connection.total_changes)
        if self._read[0] != stamp:
            rows = self._connection.execute(
                "SELECT id, name, uri, folder, state, version, assignees FROM items ORDER BY id"
            )
            items = {row[0]: _item(*row) for row in rows}
            for item_id in self._skip_ids(items.values()):
                items[item_id] = replace(items[item_id], state=SKIPPED)
            self._read = (stamp, items)
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
        with self._transaction():
            self._connection.executemany(
                "INSERT OR IGNORE INTO skips VALUES (?, ?, ?, ?)",
                ((item.id, item.name, item.folder, since) for item in items),
            )

    def unskip(self, item_ids: Iterable[str]) -> None:
        """Ask for these again, by the ids that ``skips`` returns."""
        with self._transaction():
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

    def holds(self, items: Sequence[Item]) -> bool:
        """Whether the pool is, in every particular, what the platform lists now."""
        cursor = self._connection.cursor()
        cursor.row_factory = None  # plain tuples, which compare at once
        cursor.execute("SELECT id, name, uri, folder, state, version, assignees FROM items ORDER BY id")
        listed = iter(sorted(items, key=attrgetter("id")))
        while some := list(map(_values, itertools.islice(listed, AT_ONCE))):
            if cursor.fetchmany(len(some)) != some:
                return False
        return cursor.fetchone() is None

    def replace_items(self, items: Iterable[Item], changed: Iterable[tuple[Item, Annotation]]) -> None:
        """Make the pool what the platform lists now; annotations of items no longer labeled go.

        Only what differs is written. Raises DataError if an id occurs twice.
        """
        items = list(items)
        ids = {item.id for item in items}
        if len(ids) < len(items):
            twice = next(name for name, count in Counter(item.id for item in items).items() if count > 1)
            raise DataError(f"The platform lists {twice!r} twice.", kept="What was pulled before is kept.")
        with self._transaction() as execute:
            self._connection.executemany(PUT_ITEM, map(_values, items))
            if execute("SELECT COUNT(*) FROM items").fetchone()[0] > len(ids):
                gone = [row for row in execute("SELECT id FROM items").fetchall() if row[0] not in ids]
                self._connection.executemany("DELETE FROM items WHERE id = ?", gone)
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
        for row in self._connection.execute("SELECT id, version FROM items WHERE state = ? ORDER BY id", (state,)):
            yield row[0], row[1]

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
        with self._transaction():
            self._connection.executemany(
                "UPDATE items SET state = ?, assignees = ? WHERE id = ?",
                ((item.state, item.assignees, item.id) for item in items),
            )

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
