"""The tables of the workspace and the statements that read and write them; only ``pool_rows`` speaks SQL, too."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter

from alcli.annotations import IGNORED, Annotation, PassedOver, sum_by_kind
from alcli.errors import DataError, WorkspaceDamaged
from alcli.items import ImageFacts, Item, Receipt, Refusal
from alcli.workspace.pool_rows import PoolRows
from alcli.workspace.records import CycleRecord, Quarantined, QueueRecord
from alcli.workspace.schema import MIGRATIONS, SCHEMA
from alcli.workspace.statements import IS_EMPTY, PARTS, PUT_RECEIPT

NO_LIMIT = 2**62


def newest_version() -> int:
    """The version of the schema that this alcli reads and writes."""
    return 1 + len(MIGRATIONS)


class Store(PoolRows):
    """Reads and writes the workspace's rows; every method is one transaction."""

    # Schema

    def version(self) -> int:
        """The version of the schema; 0 for a database that is not alcli's."""
        return int(self._connection.execute("PRAGMA user_version").fetchone()[0])

    def definitions(self) -> dict[tuple[str, str], str]:
        """The statement of every trigger, view, table and index by (kind, name), without SQLite's own."""
        rows = self._connection.execute("SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL")
        named = {(str(row[0]), str(row[1])): str(row[2]) for row in rows}
        return {key: text for key, text in named.items() if not key[1].startswith(("sqlite_stat", "sqlite_seq"))}

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

    # Annotations

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
        return int(self._connection.execute(f"SELECT COUNT(*) FROM annotations WHERE {IS_EMPTY}").fetchone()[0])

    def items_with_objects(self) -> set[str]:
        """Ids of labeled items whose stored annotation is of their present version, and not empty."""
        rows = self._connection.execute(
            "SELECT a.item_id FROM annotations a JOIN items i ON i.id = a.item_id AND i.version = a.version"
            f" WHERE i.state = 'labeled' AND NOT ({IS_EMPTY})"
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

    def sides(self) -> dict[str, str]:
        """Hash of an image's pixels → that of the image which decides its side of the held-out line; they never go."""
        return dict(tuple(row) for row in self._connection.execute("SELECT image, anchor FROM sides"))

    def put_sides(self, anchors: Mapping[str, str]) -> None:
        """Remember sides; an image that has one keeps it."""
        with self._transaction():
            self._connection.executemany("INSERT OR IGNORE INTO sides VALUES (?, ?)", anchors.items())

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
        # In the order of the index: out of order, each row would touch another of its pages. The last answer counts.
        ordered = sorted(receipts, key=attrgetter("item_id"))
        with self._transaction():
            self._connection.executemany(
                PUT_RECEIPT, ((cycle, row.item_id, row.position, row.accepted, row.reason) for row in ordered)
            )

    def count_receipts(self, cycle: int) -> int:
        """Number of items of which the platform's answer to this cycle's push is known."""
        count = self._connection.execute("SELECT COUNT(*) FROM receipts WHERE cycle = ?", (cycle,)).fetchone()
        return int(count[0])

    def put_queue(self, cycle: int, queue: QueueRecord) -> None:
        """Remember how a cycle has left the platform's queue."""
        with self._transaction() as execute:
            values = (cycle, queue.sha256, queue.top, queue.restored)
            execute("INSERT OR REPLACE INTO queues (cycle, sha256, top, restored) VALUES (?, ?, ?, ?)", values)

    def queue_record(self, cycle: int) -> QueueRecord | None:
        """How this cycle has left the platform's queue; None if it has not, or was made by an earlier alcli."""
        row = self._connection.execute("SELECT * FROM queues WHERE cycle = ?", (cycle,)).fetchone()
        return QueueRecord(row["sha256"], row["top"], bool(row["restored"])) if row else None


def _annotation(item_id: str, text: str) -> Annotation:
    try:
        return Annotation.from_json(item_id, text)
    except DataError as error:
        raise WorkspaceDamaged(f"The database is damaged: {error.what}", do="Restore it from a backup.") from None
