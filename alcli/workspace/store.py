"""The tables of the workspace and the statements that read and write them; nothing else speaks SQL."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from alcli.annotations import IGNORED, Annotation, PassedOver, sum_by_kind
from alcli.errors import DataError, WorkspaceDamaged
from alcli.items import QUARANTINED, SKIPPED, STATES, UNLABELED, ImageFacts, Item, Pool, Receipt, Refusal
from alcli.workspace.records import CycleRecord, Quarantined, QueueRecord, Skip

SCHEMA = """
CREATE TABLE items (
    id TEXT PRIMARY KEY, name TEXT NOT NULL, folder TEXT NOT NULL, uri TEXT NOT NULL,
    state TEXT NOT NULL, version TEXT NOT NULL, assignees TEXT NOT NULL
);
CREATE TABLE annotations (item_id TEXT PRIMARY KEY, version TEXT NOT NULL, content TEXT NOT NULL);
CREATE TABLE images (
    item_id TEXT PRIMARY KEY, version TEXT NOT NULL, sha256 TEXT NOT NULL,
    width INTEGER NOT NULL, height INTEGER NOT NULL
);
CREATE TABLE quarantine (
    stage TEXT NOT NULL, item_id TEXT NOT NULL, name TEXT NOT NULL, version TEXT NOT NULL, reason TEXT NOT NULL,
    since TEXT NOT NULL, PRIMARY KEY (stage, item_id)
);
CREATE TABLE cycles (number INTEGER PRIMARY KEY, started TEXT NOT NULL, finished TEXT, inputs TEXT NOT NULL);
CREATE TABLE steps (
    cycle INTEGER NOT NULL, step TEXT NOT NULL, inputs TEXT NOT NULL, file TEXT, sha256 TEXT,
    summary TEXT NOT NULL, finished TEXT NOT NULL, PRIMARY KEY (cycle, step)
);
CREATE TABLE receipts (
    cycle INTEGER NOT NULL, item_id TEXT NOT NULL, position INTEGER NOT NULL, accepted INTEGER NOT NULL,
    reason TEXT NOT NULL, PRIMARY KEY (cycle, item_id)
);
"""
"""Version 1, for ever: new tables and columns are made by ``MIGRATIONS``, for new workspaces as for old ones."""

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    ("CREATE TABLE skips (item_id TEXT PRIMARY KEY, name TEXT NOT NULL, folder TEXT NOT NULL, since TEXT NOT NULL)",),
    (
        "ALTER TABLE images ADD COLUMN side TEXT NOT NULL DEFAULT ''",
        "CREATE TABLE first_hashes (item_id TEXT PRIMARY KEY, sha256 TEXT NOT NULL)",
        "INSERT INTO first_hashes SELECT item_id, sha256 FROM images",
        "CREATE TABLE queues (cycle INTEGER PRIMARY KEY, sha256 TEXT NOT NULL, top INTEGER, restored INTEGER NOT NULL)",
    ),
)
"""The statements from version 1 to 2, those from 2 to 3, and so on; never changed once released."""

NO_LIMIT = 2**62
PARTS = ("boxes", "poses", "polygons", "masks")
"""Parts of a stored annotation whose entries have a label."""

_IS_EMPTY = " AND ".join(f"json_type(content, '$.{part}') IS NULL" for part in (*PARTS, "labels", "passed_over"))
_QUARANTINED_ITEMS = """
SELECT DISTINCT i.id, i.state FROM quarantine q JOIN items i ON i.id = q.item_id AND i.version = q.version
"""
_SKIPPED_ITEMS = """
SELECT i.id, i.state FROM items i WHERE i.state = 'unlabeled'
AND (i.id IN (SELECT item_id FROM skips) OR (i.folder, i.name) IN (SELECT folder, name FROM skips))
AND NOT EXISTS (SELECT 1 FROM quarantine q WHERE q.item_id = i.id AND q.version = i.version)
"""


def newest_version() -> int:
    """The version of the schema that this alcli reads and writes."""
    return 1 + len(MIGRATIONS)


class Store:
    """Reads and writes the workspace's rows; every method is one transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    # Schema

    def version(self) -> int:
        """The version of the schema; 0 for a database that is not alcli's."""
        return int(self._connection.execute("PRAGMA user_version").fetchone()[0])

    def create(self, version: int | None = None) -> None:
        """Make the tables in an empty database, in the form of a version, by default their newest."""
        self._connection.executescript(f"BEGIN; {SCHEMA} PRAGMA user_version = 1; COMMIT;")
        self.migrate(version)

    def migrate(self, version: int | None = None) -> None:
        """Bring the tables to the form of a version, by default their newest, whole or not at all."""
        version = newest_version() if version is None else version
        with self._transaction() as execute:
            # Asked inside: another process may just have done it.
            for statements in MIGRATIONS[self.version() - 1 : version - 1]:
                for statement in statements:
                    execute(statement)
            execute(f"PRAGMA user_version = {version}")

    # Items and annotations

    def pool(self, forgiving: Sequence[str] = ()) -> Pool:
        """All items as the last pull saw them; quarantine of the stages ``forgiving`` does not count."""
        rows = self._connection.execute("SELECT id, name, uri, folder, state, version, assignees FROM items")
        quarantined = self._connection.execute(
            "SELECT q.item_id FROM quarantine q JOIN items i ON i.id = q.item_id AND i.version = q.version"
            " WHERE q.stage NOT IN (SELECT value FROM json_each(?))",
            (json.dumps(forgiving),),
        )
        items = {row["id"]: Item(*row) for row in rows}
        for item_id in self._skip_ids(items.values()):
            items[item_id] = replace(items[item_id], state=SKIPPED)
        return Pool(items, frozenset(row["item_id"] for row in quarantined))

    def counts(self) -> dict[str, int]:
        """Number of items in each state, as ``pool().counts()`` says it, without reading a million items."""
        totals = ", ".join(f"TOTAL(state = '{state}') AS {state}" for state in STATES)
        row = self._connection.execute(f"SELECT COUNT(*) AS all_items, {totals} FROM items").fetchone()
        counts = {state: int(row[state]) for state in STATES}
        if sum(counts.values()) != row["all_items"]:
            raise WorkspaceDamaged(
                "The database is damaged: an item has a state that does not exist.", do="Restore it from a backup."
            )
        moved = [(QUARANTINED, _QUARANTINED_ITEMS)]
        if self.skips():
            moved.append((SKIPPED, _SKIPPED_ITEMS))
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

    def replace_items(self, items: Iterable[Item], changed: Iterable[tuple[Item, Annotation]]) -> None:
        """Make the pool what the platform lists now; annotations of items no longer labeled go."""
        with self._transaction() as execute:
            execute("DELETE FROM items")
            self._connection.executemany(
                "INSERT INTO items (id, name, uri, folder, state, version, assignees) VALUES (?, ?, ?, ?, ?, ?, ?)",
                ((i.id, i.name, i.uri, i.folder, i.state, i.version, i.assignees) for i in items),
            )
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

    def update_items(self, items: Iterable[Item]) -> None:
        """Remember the present state and assignees of items that are in the pool; nothing else of them changes."""
        with self._transaction():
            self._connection.executemany(
                "UPDATE items SET state = ?, assignees = ? WHERE id = ?",
                ((item.state, item.assignees, item.id) for item in items),
            )

    def annotation_versions(self) -> dict[str, str]:
        """item id → version of its item when the annotation was read."""
        rows = self._connection.execute("SELECT item_id, version FROM annotations")
        return {row["item_id"]: row["version"] for row in rows}

    def annotations(self, item_ids: Iterable[str]) -> list[Annotation]:
        """The stored annotations of these items, in that order; items without one are left out."""
        annotations = []
        for item_id in item_ids:
            row = self._connection.execute("SELECT content FROM annotations WHERE item_id = ?", (item_id,)).fetchone()
            if row:
                annotations.append(_annotation(item_id, row["content"]))
        return annotations

    def newest_annotations(self, count: int) -> list[Annotation]:
        """The ``count`` annotations that were stored last, the newest first."""
        rows = self._connection.execute(
            "SELECT item_id, content FROM annotations ORDER BY rowid DESC LIMIT ?", (count,)
        )
        return [_annotation(row["item_id"], row["content"]) for row in rows]

    def passed_over(self) -> tuple[PassedOver, ...]:
        """The objects of all stored annotations that are not used, the most frequent kind first."""
        rows = self._connection.execute(
            "SELECT json_extract(value, '$.kind'), json_extract(value, '$.count')"
            """ FROM annotations, json_each(content, '$.passed_over') WHERE instr(content, '"passed_over"')"""
        )
        return sum_by_kind(PassedOver(*row) for row in rows)

    def empty_annotations(self) -> int:
        """Number of stored annotations without any object, used or not."""
        return int(self._connection.execute(f"SELECT COUNT(*) FROM annotations WHERE {_IS_EMPTY}").fetchone()[0])

    def items_with_objects(self) -> set[str]:
        """Ids of labeled items whose stored annotation is of their present version, and not empty."""
        rows = self._connection.execute(
            "SELECT a.item_id FROM annotations a JOIN items i ON i.id = a.item_id AND i.version = a.version"
            f" WHERE i.state = 'labeled' AND NOT ({_IS_EMPTY})"
        )
        return {row[0] for row in rows}

    def class_names(self) -> set[str]:
        """The classes of all stored annotations, without ``IGNORED``."""
        each = [f"SELECT json_extract(value, '$.label') FROM annotations, json_each(content, '$.{part}')"
                for part in PARTS]  # fmt: skip
        labels = "SELECT value FROM annotations, json_each(content, '$.labels')"
        rows = self._connection.execute(" UNION ".join([*each, labels]))
        return {row[0] for row in rows} - {IGNORED}

    def masks_with_id(self, pixel_id: int) -> int:
        """Number of stored annotations with a mask of this pixel id."""
        row = self._connection.execute(
            "SELECT COUNT(DISTINCT item_id) FROM annotations, json_each(content, '$.masks')"
            " WHERE json_extract(value, '$.pixel_id') = ?",
            (pixel_id,),
        ).fetchone()
        return int(row[0])

    def images(self) -> dict[str, tuple[str, ImageFacts]]:
        """item id → (version, what its image file was found to be)."""
        rows = self._connection.execute("SELECT item_id, version, sha256, width, height, side FROM images")
        return {row[0]: (row[1], ImageFacts(*row[2:])) for row in rows}

    def put_images(self, rows: Iterable[tuple[Item, ImageFacts]]) -> None:
        """Remember what image files were found to be."""
        with self._transaction():
            self._connection.executemany(
                "INSERT OR REPLACE INTO images (item_id, version, sha256, width, height, side)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                ((item.id, item.version, facts.sha256, facts.width, facts.height, facts.side) for item, facts in rows),
            )

    def first_hashes(self) -> dict[str, str]:
        """item id → SHA-256 of its file when an alcli that did not hash pixels saw it; they never go."""
        return dict(tuple(row) for row in self._connection.execute("SELECT item_id, sha256 FROM first_hashes"))

    # Quarantine

    def quarantine(self, stage: str, refusals: Iterable[Refusal], since: str, complete: bool) -> list[Refusal]:
        """Remember what cannot be used; returns only what was not known before in this version.

        Args:
            stage: listing, reading, image, encoding or training: who found it.
            complete: whether ``refusals`` is all that this stage refuses now, so that the rest can go.
        """
        given = list(refusals)
        refusals = [refusal for refusal in given if not refusal.transient]
        rows = self._connection.execute("SELECT * FROM quarantine WHERE stage = ?", (stage,)).fetchall()
        known = {row["item_id"]: (row["version"], row["reason"]) for row in rows}
        new = [refusal for refusal in refusals if known.get(refusal.id) != (refusal.version, refusal.reason)]
        gone = set(known) - {refusal.id for refusal in refusals} if complete else set()
        with self._transaction():
            self._connection.executemany(
                "INSERT OR REPLACE INTO quarantine VALUES (?, ?, ?, ?, ?, ?)",
                ((stage, row.id, row.name, row.version, row.reason, since) for row in new),
            )
            self._connection.executemany(
                "DELETE FROM quarantine WHERE stage = ? AND item_id = ?",
                ((stage, item_id) for item_id in gone),
            )
        return [*new, *(refusal for refusal in given if refusal.transient)]

    def quarantine_entries(self) -> list[Quarantined]:
        """What is in quarantine, in the order of the names."""
        rows = self._connection.execute(
            "SELECT q.stage, q.item_id, q.name, q.version, q.reason, q.since"
            " FROM quarantine q LEFT JOIN items i ON i.id = q.item_id"
            " WHERE i.version IS NULL OR i.version = q.version ORDER BY q.name, q.item_id"
        )
        return [Quarantined(*row) for row in rows]

    # Cycles, steps, receipts

    def start_cycle(self, number: int, inputs: str, started: str) -> None:
        """Open a cycle."""
        with self._transaction() as execute:
            execute("INSERT INTO cycles VALUES (?, ?, NULL, ?)", (number, started, inputs))

    def finish_cycle(self, number: int, inputs: str, finished: str) -> None:
        """Close a cycle; ``inputs`` is what it was made from."""
        with self._transaction() as execute:
            execute("UPDATE cycles SET finished = ?, inputs = ? WHERE number = ?", (finished, inputs, number))

    def cycles(self) -> list[CycleRecord]:
        """Every cycle, oldest first."""
        rows = self._connection.execute("SELECT number, started, finished, inputs FROM cycles ORDER BY number")
        return [CycleRecord(*row) for row in rows]

    def put_step(
        self,
        cycle: int,
        step: str,
        inputs: str,
        file: str | None,
        sha256: str | None,
        summary: str,
        finished: str,
    ) -> None:
        """Record a finished step."""
        with self._transaction() as execute:
            execute(
                "INSERT OR REPLACE INTO steps VALUES (?, ?, ?, ?, ?, ?, ?)",
                (cycle, step, inputs, file, sha256, summary, finished),
            )

    def drop_step(self, cycle: int, step: str) -> None:
        """Forget that a step was done, before its file is replaced."""
        with self._transaction() as execute:
            execute("DELETE FROM steps WHERE cycle = ? AND step = ?", (cycle, step))

    def get_step(self, cycle: int, step: str) -> sqlite3.Row | None:
        """One finished step, or None."""
        return self._connection.execute("SELECT * FROM steps WHERE cycle = ? AND step = ?", (cycle, step)).fetchone()

    def newest_step(self, step: str, before: int | None = None) -> int | None:
        """The newest cycle in which this step was finished, of those with a number below ``before``."""
        row = self._connection.execute(
            "SELECT MAX(cycle) AS cycle FROM steps WHERE step = ? AND cycle < ?",
            (step, NO_LIMIT if before is None else before),
        ).fetchone()
        return row["cycle"]

    def put_receipts(self, cycle: int, receipts: Sequence[Receipt]) -> None:
        """Remember what the platform answered."""
        with self._transaction():
            self._connection.executemany(
                "INSERT OR REPLACE INTO receipts VALUES (?, ?, ?, ?, ?)",
                ((cycle, row.item_id, row.position, row.accepted, row.reason) for row in receipts),
            )

    def put_queue(self, cycle: int, queue: QueueRecord) -> None:
        """Remember how a cycle has left the platform's queue."""
        with self._transaction() as execute:
            values = (cycle, queue.sha256, queue.top, queue.restored)
            execute("INSERT OR REPLACE INTO queues (cycle, sha256, top, restored) VALUES (?, ?, ?, ?)", values)

    def queue_record(self, cycle: int) -> QueueRecord | None:
        """How this cycle has left the platform's queue; None if it has not, or was made by an earlier alcli."""
        row = self._connection.execute("SELECT * FROM queues WHERE cycle = ?", (cycle,)).fetchone()
        return QueueRecord(row["sha256"], row["top"], bool(row["restored"])) if row else None

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


def _annotation(item_id: str, text: str) -> Annotation:
    try:
        return Annotation.from_json(item_id, text)
    except DataError as error:
        raise WorkspaceDamaged(f"The database is damaged: {error.what}", do="Restore it from a backup.") from None
