"""Open and check the workspace's SQLite database, and classify its errors."""

from __future__ import annotations

import contextlib
import functools
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from alcli.errors import AlcliError, MachineError, WorkspaceDamaged, WorkspaceTooNew
from alcli.workspace.received import Definition, check_definitions
from alcli.workspace.store import Store, newest_version

DATABASE = "alcli.db"


class Connection(sqlite3.Connection):
    """A connection that reports damage when SQLite's own answer is not valid text."""

    def execute(self, *arguments: Any) -> sqlite3.Cursor:
        """Execute as usual; raises DatabaseError instead of UnicodeDecodeError."""
        try:
            return super().execute(*arguments)
        except UnicodeDecodeError as error:
            raise sqlite3.DatabaseError(f"a name in it is not valid text ({error.reason})") from None


def connect(path: Path, read_only: bool, unchanging: bool = False) -> Connection:
    """Open the database; for writers, its integrity is checked first.

    Args:
        unchanging: for readers, nobody writes to it meanwhile. Then nothing is written beside it, which several
            machines cannot share.

    Raises:
        WorkspaceDamaged: the database is damaged. MachineError: it cannot be opened.
    """
    if read_only:
        if not os.access(path, os.R_OK):
            raise MachineError(f"{path} cannot be read by this user.", do="Run as its owner.")
        may_write = os.access(path.parent, os.W_OK) and not unchanging
        mode = "mode=ro" if may_write or _has_newer_pages(path) else "mode=ro&immutable=1"
        connection = sqlite3.connect(
            f"{path.resolve().as_uri()}?{mode}", uri=True, isolation_level=None, factory=Connection
        )
    else:
        connection = sqlite3.connect(path, isolation_level=None, timeout=30, factory=Connection)
    connection.row_factory = sqlite3.Row
    # A function that a table's definition names must be harmless, whoever wrote the table.
    connection.execute("PRAGMA trusted_schema = OFF")
    try:
        # The check reads the whole file, so only writers pay for it.
        wrong = "" if read_only else problem(connection)
        connection.execute("PRAGMA schema_version").fetchone()
    except sqlite3.OperationalError as error:
        # A full disk or a missing permission does not mean that the file is damaged.
        raise MachineError(f"{path}: {error}.", do="Check the free space and the permissions.") from None
    except sqlite3.DatabaseError as error:
        wrong = str(error)
    if wrong:
        raise WorkspaceDamaged(
            f"{path} is damaged: {wrong}.", do="Restore it from a backup; alcli never overwrites it."
        )
    return connection


def _has_newer_pages(path: Path) -> bool:
    """Whether a run has changes that are not yet in the database file itself.

    In a read-only folder SQLite cannot create its shared memory file, and ``immutable`` works without it, but would
    also ignore these changes. While a run goes on, the shared memory file is there and can be read.
    """
    log, memory = (path.with_name(path.name + suffix) for suffix in ("-wal", "-shm"))
    if not log.is_file() or not log.stat().st_size:
        return False
    if not memory.is_file() or not all(os.access(file, os.R_OK) for file in (log, memory)):
        raise MachineError(
            f"The newest changes of {path} are in {log.name}, which this user cannot read.", do="Run as its owner."
        )
    return True


def make_durable(connection: Connection) -> None:
    """Make commits survive a power cut; call it after all checks, because switching to WAL writes to the file."""
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")


def switch_to_log(path: Path) -> None:
    """Switch a database that nobody uses to a write-ahead log; broken off in a workspace, it would leave a journal."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")


def migrate_in_memory(connection: Connection) -> Connection:
    """Copy the database into memory with the newest schema, for readers, which must not change the file."""
    memory = sqlite3.connect(":memory:", isolation_level=None, factory=Connection)
    memory.row_factory = sqlite3.Row
    connection.backup(memory)
    connection.close()
    Store(memory).migrate()
    return memory


def check_version(connection: Connection, root: Path) -> int:
    """Check the schema, and return its version.

    Raises:
        WorkspaceTooNew: a newer alcli created it. WorkspaceDamaged: tables or columns are missing.
        DataError: it holds triggers, views or tables that alcli did not make.
    """
    version = Store(connection).version()
    if version > newest_version():
        raise WorkspaceTooNew(
            f"{root} was created by a newer alcli (schema {version}; this one supports {newest_version()}).",
            do="Upgrade alcli: pip install -U alcli",
        )
    if version < 1:
        raise WorkspaceDamaged(f"{root / DATABASE} is not a workspace's database.", do="Restore it from a backup.")
    check_definitions(Store(connection).definitions(), _made_by(version), root / DATABASE)
    if version == newest_version():
        _check_columns(connection, root)
    return version


@functools.cache
def _made_by(version: int) -> dict[Definition, str]:
    """What a database of this version holds when alcli has made it."""
    empty = sqlite3.connect(":memory:", isolation_level=None)
    try:
        store = Store(empty)
        store.create(version)
        return store.definitions()
    finally:
        empty.close()


def _check_columns(connection: Connection, root: Path) -> None:
    for table, columns in _schema_columns().items():
        existing = {row["name"] for row in connection.execute(f"PRAGMA table_info({table})")}
        if missing := columns - existing:
            raise WorkspaceDamaged(
                f"{root / DATABASE} is damaged: {table} has no {', '.join(sorted(missing))}.",
                do="Restore it from a backup.",
            )


def copy_database(connection: Connection, path: Path) -> str:
    """Copy a database with SQLite's backup API; returns the problem with the copy, empty if there is none."""
    copy = sqlite3.connect(path, factory=Connection)
    try:
        connection.backup(copy)
        # A single file without a write-ahead log; the first writer turns it on again.
        copy.execute("PRAGMA journal_mode = DELETE")
        return problem(copy)
    finally:
        copy.close()


def problem(connection: Connection) -> str:
    """The problem that SQLite's quick check reports; empty if there is none."""
    answer = str(connection.execute("PRAGMA quick_check(1)").fetchone()[0])
    return "" if answer == "ok" else answer


def _schema_columns() -> dict[str, frozenset[str]]:
    """The columns of every table of the newest schema, as SQLite parses it."""
    empty = sqlite3.connect(":memory:", isolation_level=None)
    try:
        Store(empty).create()
        tables = [row[0] for row in empty.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {table: frozenset(row[1] for row in empty.execute(f"PRAGMA table_info({table})")) for table in tables}
    finally:
        empty.close()


OUT_OF_MEMORY = ("failed to map segment", "t allocate memory", "not enough memory", "out of memory")
"""What the dynamic linker, the system, and torch on CPU and GPU say; torch raises RuntimeError."""


@contextlib.contextmanager
def machine_errors(path: Path) -> Iterator[None]:
    """Turn errors of the operating system and of SQLite in the block into an AlcliError.

    Every command enters it once, inside the records of its run (log, heartbeat), so that those get the right exit code.

    Args:
        path: named when the error itself does not name a file; also the folder of the database.
    """
    try:
        yield
    except BrokenPipeError:
        raise
    except (MemoryError, ImportError, RuntimeError) as error:
        if not isinstance(error, MemoryError) and not any(text in str(error) for text in OUT_OF_MEMORY):
            raise
        raise MachineError(
            f"The memory that this process may use is not enough: {error or type(error).__name__}.",
            kept="Finished steps are kept.",
            do="Raise its limit (ulimit -v, the container's), or lower train.batch_size and score.batch_size; then run "
            "the same command again. `alcli doctor` says how much is available.",
        ) from error
    except OSError as error:
        raise MachineError(
            f"{error.filename or path}: {error.strerror or error}.",
            kept="Finished steps are kept.",
            do="Check the path, the free space and the permissions, then run the same command again.",
        ) from error
    except sqlite3.DatabaseError as error:
        raise _database_error(path / DATABASE, error) from error


@contextlib.contextmanager
def database_errors(path: Path) -> Iterator[None]:
    """Turn SQLite errors while reading the workspace at ``path`` into WorkspaceDamaged or MachineError."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        raise _database_error(path / DATABASE, error) from error


def _database_error(path: Path, error: sqlite3.DatabaseError) -> AlcliError:
    # DatabaseError itself, and invalid text, mean a damaged file; OperationalError the machine; all others a bug.
    if type(error) is sqlite3.DatabaseError or "decode to UTF-8" in str(error):
        return WorkspaceDamaged(f"{path} is damaged: {error}.", do="Restore it from a backup.")
    if not isinstance(error, sqlite3.OperationalError):
        raise error
    return MachineError(
        f"{path}: {error}.",
        kept="Finished steps are kept.",
        do="Check the free space and the permissions, then run the same command again.",
    )
