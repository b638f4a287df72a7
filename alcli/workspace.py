"""The workspace: one folder that remembers everything, and survives being killed.

``alcli.toml`` the configuration · ``alcli.db`` items, annotations, cycles, steps, receipts, quarantine ·
``cycles/0007/`` the files of one cycle · ``cache/`` what can be made again · ``logs/``.

A step is done only when its row says so and the file it names still has the recorded SHA-256. Files are written
first, whole or not at all; the row that names them comes after.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import sqlite3
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from alcli import config
from alcli.errors import (
    MachineError,
    UsageError,
    WorkspaceDamaged,
    WorkspaceLocked,
    WorkspaceMissing,
    WorkspaceTooNew,
)
from alcli.files import remove_leftovers, sha256_of
from alcli.store import MIGRATIONS, SCHEMA, SCHEMA_VERSION, Store

DATABASE = "alcli.db"
SECONDS_BETWEEN_TRIES = 0.5


@dataclass(frozen=True)
class StepRecord:
    """What the database knows of one finished step."""

    cycle: int
    step: str
    inputs: str
    file: Path | None
    sha256: str | None
    summary: dict[str, Any]
    finished: str


class Workspace:
    """An existing workspace; open it with ``Workspace.open`` or ``Workspace.find``."""

    def __init__(self, root: Path, connection: sqlite3.Connection) -> None:
        self.root = root
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
            for folder in (root, root / "cycles", root / "cache", root / "logs"):
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            # A database without a configuration is what a killed init left.
            for leftover in root.glob(f"{DATABASE}*"):
                leftover.unlink()
            connection = _connect(root / DATABASE, read_only=False)
            connection.executescript(SCHEMA)
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            _make_durable(connection)
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
    def open(cls, root: Path, read_only: bool = False) -> Workspace:
        """Open a workspace; readers never wait for writers.

        Raises:
            WorkspaceMissing, WorkspaceTooNew, WorkspaceDamaged: as their names say.
            MachineError: a writer meets a read-only folder.
        """
        if not (root / config.FILE_NAME).is_file():
            raise WorkspaceMissing(f"{root} is not a workspace.", do="Make one with `alcli init`.")
        if not (root / DATABASE).is_file():
            raise WorkspaceDamaged(f"{root / DATABASE} is missing.", do="Restore it from a backup.")
        if not read_only and not os.access(root, os.W_OK):
            raise MachineError(f"{root} is read-only.", do="Give this user permission to write there.")
        connection = _connect(root / DATABASE, read_only)
        version = _check_version(connection, root)
        if not read_only:
            _make_durable(connection)
            _migrate(connection, version)
        return cls(root, connection)

    def close(self) -> None:
        """Close the database."""
        self._connection.close()

    def configuration(self, overrides: Iterable[str] = ()) -> config.Config:
        """The workspace's configuration with flags applied."""
        return config.load(self.root, overrides)

    @contextlib.contextmanager
    def lock(self, wait: float = 0.0) -> Iterator[None]:
        """Hold the workspace against other writers; raises WorkspaceLocked naming the holder after ``wait`` seconds.

        The lock belongs to this process alone: it ends with it, and a forked decoding worker does not inherit it.
        The text in the file is information for people, never the decision.
        """
        path = self.root / "alcli.lock"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            _lock(descriptor, wait)
            os.ftruncate(descriptor, 0)
            command = " ".join(["alcli", *sys.argv[1:]])
            text = f"pid {os.getpid()} on {socket.gethostname()} since {now()}: {command}"
            os.pwrite(descriptor, text.encode("utf-8", "surrogateescape"), 0)
            remove_leftovers(self.root, *self.root.glob("cycles/*"), *self.root.glob("cycles/*/signals*"))
            yield
        finally:
            os.close(descriptor)

    def copy_database(self, path: Path) -> None:
        """A consistent copy of the database by SQLite's own backup, also while another process writes."""
        copy = sqlite3.connect(path)
        try:
            self._connection.backup(copy)
            # One file without a log beside it; the first writer turns the log on again.
            copy.execute("PRAGMA journal_mode = DELETE")
        finally:
            copy.close()

    # Cycles and steps

    def cycle_folder(self, cycle: int) -> Path:
        """``cycles/0007`` of cycle 7, made when missing."""
        folder = self.root / "cycles" / f"{cycle:04d}"
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return folder

    def finish_step(
        self,
        cycle: int,
        step: str,
        inputs: str,
        file: Path | None = None,
        summary: dict[str, Any] | None = None,
    ) -> StepRecord:
        """Record that a step is done; the file must be on disk already."""
        sha256 = sha256_of(file) if file else None
        relative = str(file.relative_to(self.root)) if file else None
        self.store.put_step(cycle, step, inputs, relative, sha256, json.dumps(summary or {}), now())
        record = self.step(cycle, step)
        assert record is not None
        return record

    def step(self, cycle: int, step: str) -> StepRecord | None:
        """The record of a finished step, unverified; None when the step is not done."""
        row = self.store.get_step(cycle, step)
        if row is None:
            return None
        file = self.root / row["file"] if row["file"] else None
        return StepRecord(cycle, step, row["inputs"], file, row["sha256"], json.loads(row["summary"]), row["finished"])

    def done(self, cycle: int, step: str, inputs: str) -> StepRecord | None:
        """The record if the step is done with exactly these inputs and its file is intact, else None."""
        record = self.step(cycle, step)
        if record is None or record.inputs != inputs:
            return None
        if record.file and (not record.file.is_file() or sha256_of(record.file) != record.sha256):
            return None
        return record

    def verified_file(self, record: StepRecord) -> Path:
        """The file of a step; raises WorkspaceDamaged when it is not what was written."""
        if record.file is None or not record.file.is_file():
            raise WorkspaceDamaged(
                f"{record.file} of cycle {record.cycle} is missing.", do=f"Run `alcli {record.step}` again."
            )
        if sha256_of(record.file) != record.sha256:
            raise WorkspaceDamaged(
                f"{record.file} is not what cycle {record.cycle} wrote (its SHA-256 differs).",
                do=f"Delete it and run `alcli {record.step}` again, or restore a backup.",
            )
        return record.file


def _lock(descriptor: int, wait: float) -> None:
    deadline = time.monotonic() + wait
    while True:
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except (BlockingIOError, PermissionError):
            # By turns instead of a blocking call, so that signals and the deadline are heard.
            if time.monotonic() >= deadline:
                holder = os.pread(descriptor, 1000, 0).decode("utf-8", "replace").strip()
                raise WorkspaceLocked(
                    f"Another run holds this workspace: {holder or 'unknown'}.",
                    do="Wait for it to end (--wait 30m); nothing has to be unlocked by hand.",
                ) from None
        time.sleep(min(SECONDS_BETWEEN_TRIES, max(deadline - time.monotonic(), 0.0)))


def now() -> str:
    """The time in UTC, RFC 3339 to the second."""
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


@contextlib.contextmanager
def machine_errors(path: Path) -> Iterator[None]:
    """Turn what the operating system refuses below ``path`` into a MachineError."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise MachineError(
            f"{error.filename or path}: {error.strerror or error}.",
            kept="Finished steps are kept.",
            do="Check the path, the free space and the permissions, then run the same command again.",
        ) from error
    except sqlite3.OperationalError as error:
        raise MachineError(
            f"{path / DATABASE}: {error}.",
            kept="Finished steps are kept.",
            do="Check the free space and the permissions, then run the same command again.",
        ) from error


def _connect(path: Path, read_only: bool) -> sqlite3.Connection:
    if read_only:
        # A folder that cannot be written has no room for SQLite's shared memory file: read the file as it stands.
        if not os.access(path, os.R_OK):
            raise MachineError(f"{path} cannot be read by this user.", do="Run as its owner.")
        mode = "mode=ro" if os.access(path.parent, os.W_OK) else "mode=ro&immutable=1"
        connection = sqlite3.connect(f"{path.resolve().as_uri()}?{mode}", uri=True, isolation_level=None)
    else:
        connection = sqlite3.connect(path, isolation_level=None, timeout=30)
    connection.row_factory = sqlite3.Row
    try:
        # The check reads the whole file: writers pay for it, readers stay fast.
        check = "PRAGMA schema_version" if read_only else "PRAGMA quick_check(1)"
        answer = connection.execute(check).fetchone()[0]
        problem = "ok" if read_only else answer
    except sqlite3.OperationalError as error:
        # The machine refused (disk full, no permission): that says nothing about the file.
        raise MachineError(f"{path}: {error}.", do="Check the free space and the permissions.") from None
    except sqlite3.DatabaseError as error:
        problem = str(error)
    if problem != "ok":
        raise WorkspaceDamaged(
            f"{path} is damaged: {problem}.", do="Restore it from a backup; alcli never writes over it."
        )
    return connection


def _make_durable(connection: sqlite3.Connection) -> None:
    # After all checks only: switching to WAL writes to the file.
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")


def _migrate(connection: sqlite3.Connection, version: int) -> None:
    """Bring the tables to this version, one version after the other, each whole or not at all."""
    for number in range(version, SCHEMA_VERSION):
        connection.execute("BEGIN IMMEDIATE")
        # Another writer may have been faster.
        if connection.execute("PRAGMA user_version").fetchone()[0] == number:
            connection.execute(MIGRATIONS[number])
            connection.execute(f"PRAGMA user_version = {number + 1}")
        connection.execute("COMMIT")


def _check_version(connection: sqlite3.Connection, root: Path) -> int:
    """The version of the tables; raises WorkspaceTooNew or WorkspaceDamaged."""
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if version > SCHEMA_VERSION:
        raise WorkspaceTooNew(
            f"{root} was made by a newer alcli (schema {version}, this one knows {SCHEMA_VERSION}).",
            do="Upgrade alcli: pip install -U alcli",
        )
    if version < 1:
        raise WorkspaceDamaged(f"{root / DATABASE} is not a workspace's database.", do="Restore it from a backup.")
    return version
