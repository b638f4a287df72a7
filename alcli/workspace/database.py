"""Opening the workspace's SQLite file, and saying whose fault it is when that fails."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from alcli.errors import AlcliError, MachineError, WorkspaceDamaged, WorkspaceTooNew
from alcli.workspace.store import Store, newest_version

DATABASE = "alcli.db"


class Connection(sqlite3.Connection):
    """Says that a database is damaged where Python cannot even read what SQLite says about it."""

    def execute(self, *arguments: Any) -> sqlite3.Cursor:
        """As ever."""
        try:
            return super().execute(*arguments)
        except UnicodeDecodeError as error:
            raise sqlite3.DatabaseError(f"a name in it is no text ({error.reason})") from None


def connect(path: Path, read_only: bool) -> Connection:
    """Open the file; a writer's is checked whole.

    Raises:
        WorkspaceDamaged: it is no sound database. MachineError: the machine refuses it.
    """
    if read_only:
        # A folder that cannot be written has no room for SQLite's shared memory file: read the file as it stands.
        if not os.access(path, os.R_OK):
            raise MachineError(f"{path} cannot be read by this user.", do="Run as its owner.")
        mode = "mode=ro" if os.access(path.parent, os.W_OK) else "mode=ro&immutable=1"
        connection = sqlite3.connect(
            f"{path.resolve().as_uri()}?{mode}", uri=True, isolation_level=None, factory=Connection
        )
    else:
        connection = sqlite3.connect(path, isolation_level=None, timeout=30, factory=Connection)
    connection.row_factory = sqlite3.Row
    try:
        # The check reads the whole file: writers pay for it, readers stay fast.
        wrong = "" if read_only else problem(connection)
        connection.execute("PRAGMA schema_version").fetchone()
    except sqlite3.OperationalError as error:
        # The machine refused (disk full, no permission): that says nothing about the file.
        raise MachineError(f"{path}: {error}.", do="Check the free space and the permissions.") from None
    except sqlite3.DatabaseError as error:
        wrong = str(error)
    if wrong:
        raise WorkspaceDamaged(
            f"{path} is damaged: {wrong}.", do="Restore it from a backup; alcli never writes over it."
        )
    return connection


def make_durable(connection: Connection) -> None:
    """Let what is committed survive a power cut; after all checks only: switching to WAL writes to the file."""
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")


def migrated_in_memory(connection: Connection) -> Connection:
    """A copy in the newest form, for readers: they change nothing, and must not fail before the first writer's run."""
    memory = sqlite3.connect(":memory:", isolation_level=None, factory=Connection)
    memory.row_factory = sqlite3.Row
    connection.backup(memory)
    connection.close()
    Store(memory).migrate()
    return memory


def checked_version(connection: Connection, root: Path) -> int:
    """The version of the schema.

    Raises:
        WorkspaceTooNew: a newer alcli made it. WorkspaceDamaged: its tables are not a workspace's.
    """
    version = Store(connection).version()
    if version > newest_version():
        connection.close()
        raise WorkspaceTooNew(
            f"{root} was made by a newer alcli (schema {version}, this one knows {newest_version()}).",
            do="Upgrade alcli: pip install -U alcli",
        )
    if version < 1:
        connection.close()
        raise WorkspaceDamaged(f"{root / DATABASE} is not a workspace's database.", do="Restore it from a backup.")
    if version == newest_version():
        _check_columns(connection, root)
    return version


def _check_columns(connection: Connection, root: Path) -> None:
    for table, columns in _wanted_columns().items():
        found = {row["name"] for row in connection.execute(f"PRAGMA table_info({table})")}
        if missing := columns - found:
            raise WorkspaceDamaged(
                f"{root / DATABASE} is damaged: {table} has no {', '.join(sorted(missing))}.",
                do="Restore it from a backup.",
            )


def copied(connection: Connection, path: Path) -> str:
    """Copy a database by SQLite's own backup; returns what is wrong with the copy, or nothing."""
    copy = sqlite3.connect(path, factory=Connection)
    try:
        connection.backup(copy)
        # One file without a log beside it; the first writer turns the log on again.
        copy.execute("PRAGMA journal_mode = DELETE")
        return problem(copy)
    finally:
        copy.close()


def problem(connection: Connection) -> str:
    """What SQLite's quick check says; empty when all is well."""
    answer = str(connection.execute("PRAGMA quick_check(1)").fetchone()[0])
    return "" if answer == "ok" else answer


def _wanted_columns() -> dict[str, frozenset[str]]:
    """The columns of every table, as SQLite itself understands the schema."""
    empty = sqlite3.connect(":memory:", isolation_level=None)
    try:
        Store(empty).create()
        tables = [row[0] for row in empty.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {table: frozenset(row[1] for row in empty.execute(f"PRAGMA table_info({table})")) for table in tables}
    finally:
        empty.close()


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
    except sqlite3.DatabaseError as error:
        raise _database_error(path / DATABASE, error) from error


@contextlib.contextmanager
def database_errors(path: Path) -> Iterator[None]:
    """Turn what SQLite finds while it reads the workspace at ``path`` into an error that says whose fault it is."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        raise _database_error(path / DATABASE, error) from error


def _database_error(path: Path, error: sqlite3.DatabaseError) -> AlcliError:
    # Only the bare class, and a text that is none, speak of the file; the others of the machine or of a bug.
    if type(error) is sqlite3.DatabaseError or "decode to UTF-8" in str(error):
        return WorkspaceDamaged(f"{path} is damaged: {error}.", do="Restore it from a backup.")
    if not isinstance(error, sqlite3.OperationalError):
        raise error
    return MachineError(
        f"{path}: {error}.",
        kept="Finished steps are kept.",
        do="Check the free space and the permissions, then run the same command again.",
    )
