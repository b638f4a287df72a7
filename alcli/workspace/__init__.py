"""The workspace: one folder that remembers everything, and survives being killed.

``alcli.toml`` the configuration · ``alcli.db`` items, annotations, cycles, steps, receipts, quarantine ·
``cycles/0007/`` the files of one cycle · ``cache/`` what can be made again · ``logs/``.

A step is done only when its row says so and the file it names still has the recorded SHA-256. Files are written
first, whole or not at all; the row that names them comes after.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from alcli import config
from alcli.errors import (
    MachineError,
    UsageError,
    WorkspaceDamaged,
    WorkspaceMissing,
)
from alcli.system import lock
from alcli.system.clock import now
from alcli.system.files import PRIVATE, TEMPORARY_PREFIX, remove_leftovers, sync_folder
from alcli.system.hashing import sha256_of
from alcli.system.run_log import newest_message
from alcli.workspace import database
from alcli.workspace.database import DATABASE, machine_errors
from alcli.workspace.received import check_files, check_links
from alcli.workspace.records import Kind, StepRecord
from alcli.workspace.store import Store, newest_version

LOCK = "alcli.lock"
LOGS = "logs"


@dataclass(frozen=True)
class Running:
    """A run that holds a workspace.

    Attributes:
        since: when it got the lock, in RFC 3339. doing: its newest message, empty if it has none yet.
    """

    pid: int
    host: str
    since: str
    command: str
    doing: str


class Workspace:
    """An existing workspace; open it with ``Workspace.open`` or ``Workspace.find``.

    Attributes:
        is_locked: whether this process holds the lock.
        copy_before: of the database as an older alcli left it, when this one has changed its schema.
    """

    def __init__(self, root: Path, connection: database.Connection) -> None:
        self.root = root
        self.is_locked = False
        self.copy_before: Path | None = None
        self.store = Store(connection)
        self._connection = connection

    @classmethod
    def create(cls, root: Path, settings: dict[str, Any]) -> Workspace:
        """Make a new workspace with ``section.key`` settings.

        Raises:
            UsageError: there is one already.
            MachineError: the folder cannot be written.
        """
        if (root / config.FILE_NAME).exists():
            raise UsageError(f"{root} is a workspace already.", do="Choose another folder, or edit its alcli.toml.")
        with machine_errors(root):
            for folder in (root, root / "cycles", root / "cache", root / LOGS):
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            # A database without a configuration is what a killed init left.
            for leftover in root.glob(f"{DATABASE}*"):
                leftover.unlink()
            connection = database.connect(root / DATABASE, read_only=False)
            Store(connection).create()
            database.make_durable(connection)
            (root / DATABASE).chmod(0o600)
            # The configuration comes last: only a folder that has it is a workspace.
            config.write(root / config.FILE_NAME, settings)
        return cls(root, connection)

    @classmethod
    def find(cls, start: Path) -> Path:
        """The nearest folder upward that has an ``alcli.toml``; raises WorkspaceMissing."""
        for folder in (start.resolve(), *start.resolve().parents):
            if (folder / config.FILE_NAME).is_file():
                return folder
        raise WorkspaceMissing(
            f"There is no {config.FILE_NAME} in {start.resolve()} or above.",
            do="Make a workspace with `alcli init`, or name one with -w.",
        )

    @classmethod
    def open(cls, root: Path, read_only: bool = False, unchanging: bool = False) -> Workspace:
        """Open a workspace; readers never wait for writers.

        An older alcli's database gets its new schema when a writer holds the lock; until then readers see it in memory.

        Args:
            unchanging: for readers, nobody writes to it meanwhile.

        Raises:
            WorkspaceMissing, WorkspaceTooNew, WorkspaceDamaged: as their names say.
            MachineError: a writer meets a read-only folder.
            DataError: the database holds or neighbours what alcli never makes; see ``received``.
        """
        if not (root / config.FILE_NAME).is_file():
            raise WorkspaceMissing(f"{root} is not a workspace.", do="Make one with `alcli init`.")
        check_files(root / DATABASE, writing=not read_only)
        if not (root / DATABASE).is_file():
            raise WorkspaceDamaged(f"{root / DATABASE} is missing.", do="Restore it from a backup.")
        if not read_only and not os.access(root, os.W_OK):
            raise MachineError(f"{root} is read-only.", do="Give this user permission to write there.")
        connection = database.connect(root / DATABASE, read_only=True, unchanging=read_only and unchanging)
        try:
            version = database.check_version(connection, root)
        except BaseException:
            connection.close()
            raise
        if read_only:
            return cls(root, connection if version == newest_version() else database.migrate_in_memory(connection))
        # Only now: a writer's connection changes the file even by being closed.
        connection.close()
        connection = database.connect(root / DATABASE, read_only=False)
        database.make_durable(connection)
        return cls(root, connection)

    @classmethod
    def open_copy(cls, root: Path, unchanging: bool = False) -> Workspace:
        """Open a workspace with a copy of its database in memory: what is written to the database is forgotten.

        Args:
            unchanging: nobody writes to it meanwhile.

        Raises:
            WorkspaceMissing, WorkspaceTooNew, WorkspaceDamaged: as their names say.
        """
        original = cls.open(root, read_only=True, unchanging=unchanging)
        return cls(root, database.migrate_in_memory(original._connection))

    def close(self) -> None:
        """Close the database."""
        self._connection.close()

    def configuration(self, overrides: Iterable[str | tuple[str, Any]] = ()) -> config.Config:
        """The workspace's configuration with flags applied."""
        return config.load(self.root, overrides)

    @contextlib.contextmanager
    def lock(self, wait: float = 0.0) -> Iterator[None]:
        """Hold the workspace against other writers; raises WorkspaceLocked naming the holder after ``wait`` seconds.

        What a killed run left half written is removed, and an older alcli's database brought to the newest schema.
        """
        with contextlib.ExitStack() as stack:
            with machine_errors(self.root):
                check_links(self.root)
                stack.enter_context(lock.hold(self.root / LOCK, wait))
                folders = ("cycles/*", "cycles/*/signals*", "cache/*")
                remove_leftovers(self.root, *(path for folder in folders for path in self.root.glob(folder)))
                self._migrate()
            self.is_locked = True
            stack.callback(setattr, self, "is_locked", False)
            yield

    @classmethod
    @contextlib.contextmanager
    def share(cls, root: Path, wait: float = 0.0) -> Iterator[Workspace]:
        """Open a copy, as ``open_copy``, and hold the workspace against writers, with others that share it.

        Raises:
            WorkspaceLocked: a writer holds it after ``wait`` seconds; its name is in the message.
            MachineError: its folder cannot be written.
        """
        if not (root / config.FILE_NAME).is_file():
            raise WorkspaceMissing(f"{root} is not a workspace.", do="Make one with `alcli init`.")
        with machine_errors(root):
            check_links(root)
        if not os.access(root, os.W_OK):
            raise MachineError(f"{root} is read-only.", do="Give this user permission to write there.")
        with lock.hold(root / LOCK, wait, shared=True):
            workspace = cls.open_copy(root, unchanging=True)
            try:
                yield workspace
            finally:
                workspace.close()

    def holder(self) -> str:
        """Who else holds the lock, in words; empty when nobody does. Not inside ``lock`` of the same workspace."""
        return lock.holder(self.root / LOCK)

    def running(self) -> Running | None:
        """The run that holds the lock, and what it is doing; None while nobody holds it. Not inside ``lock``."""
        match = lock.HOLDER.fullmatch(self.holder())
        if match is None:
            return None
        doing = newest_message(self.root / LOGS)
        return Running(int(match["pid"]), match["host"], match["since"], match["command"], doing)

    def _migrate(self) -> None:
        """Bring an older alcli's database to the newest schema; a copy of the old one is kept."""
        if self.store.version() >= newest_version():
            return
        copy = self.root / f"{DATABASE}.before-{newest_version()}"
        temporary = self.root / f"{TEMPORARY_PREFIX}{copy.name}"
        self.copy_database(temporary)
        temporary.chmod(PRIVATE)
        temporary.replace(copy)
        sync_folder(self.root)
        self.store.migrate()
        self.copy_before = copy

    def copy_database(self, path: Path) -> None:
        """A consistent copy of the database by SQLite's own backup, also while another process writes.

        Raises:
            WorkspaceDamaged: what was copied is no sound database.
        """
        problem = database.copy_database(self._connection, path)
        if problem:
            raise WorkspaceDamaged(
                f"{self.root / DATABASE} is damaged: {problem}.", do="Restore it from an earlier backup."
            )

    # Cycles and steps

    def cycle_folder(self, cycle: int) -> Path:
        """``cycles/0007`` of cycle 7, made when missing."""
        folder = self.root / "cycles" / f"{cycle:04d}"
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return folder

    def finish_step(self, cycle: int, inputs: str, summary: Kind, file: Path | None = None) -> StepRecord[Kind]:
        """Record that the step of this summary is done; the file must be on disk already."""
        sha256, finished = sha256_of(file) if file else None, now()
        relative = str(file.relative_to(self.root)) if file else None
        content = json.dumps(summary.document())
        self.store.put_step(cycle, summary.step, inputs, relative, sha256, content, finished)
        return StepRecord(cycle, inputs, file, sha256, summary, finished)

    def step(self, cycle: int, kind: type[Kind]) -> StepRecord[Kind] | None:
        """The record of a finished step, unverified; None when the step is not done."""
        row = self.store.get_step(cycle, kind.step)
        if row is None:
            return None
        try:
            summary = cast(Kind, kind.from_document(dict(json.loads(row["summary"]))))
            file = self._inside(row["file"]) if row["file"] else None
        except (ValueError, TypeError) as error:
            what = f"the record of {kind.step} in cycle {cycle} is not what was written ({error})"
            raise WorkspaceDamaged(
                f"{self.root / DATABASE} is damaged: {what}.", do="Restore it from a backup."
            ) from None
        return StepRecord(cycle, row["inputs"], file, row["sha256"], summary, row["finished"])

    def newest(self, kind: type[Kind], before: int | None = None) -> StepRecord[Kind] | None:
        """The record of this step in the newest cycle where it is done, unverified.

        Args:
            before: look only at cycles with a smaller number.
        """
        cycle = self.store.newest_step(kind.step, before)
        return self.step(cycle, kind) if cycle is not None else None

    def all_steps(self, kind: type[Kind]) -> list[StepRecord[Kind]]:
        """The records of this step in all cycles where it is done, unverified, the oldest first."""
        records = (self.step(cycle.number, kind) for cycle in self.store.cycles())
        return [record for record in records if record is not None]

    def _inside(self, relative: str) -> Path:
        """A file of the workspace; ValueError for a name that leads out of it, as in a backup made by a stranger."""
        if Path(relative).is_absolute() or ".." in Path(relative).parts or "\0" in relative:
            raise ValueError(f"{relative!r} lies outside")
        return self.root / relative

    def matching_step(self, cycle: int, kind: type[Kind], inputs: str) -> StepRecord[Kind] | None:
        """The record if the step is done with exactly these inputs and its file is intact, else None."""
        record = self.intact_step(cycle, kind)
        return record if record is not None and record.inputs == inputs else None

    def intact_step(self, cycle: int, kind: type[Kind]) -> StepRecord[Kind] | None:
        """The record of a finished step whose file is what was written; else None."""
        record = self.step(cycle, kind)
        if record is None or record.file is None:
            return record
        return record if record.file.is_file() and sha256_of(record.file) == record.sha256 else None

    def verify_file(self, record: StepRecord[Any]) -> Path:
        """The file of a step; raises WorkspaceDamaged when it is not what was written."""
        if record.file is None or not record.file.is_file():
            raise WorkspaceDamaged(
                f"{record.file} of cycle {record.cycle} is missing.", do=f"Run `alcli {record.summary.step}` again."
            )
        if sha256_of(record.file) != record.sha256:
            raise WorkspaceDamaged(
                f"{record.file} is not what cycle {record.cycle} wrote (its SHA-256 differs).",
                do=f"Delete it and run `alcli {record.summary.step}` again, or restore a backup.",
            )
        return record.file
