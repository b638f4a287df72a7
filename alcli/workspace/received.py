"""What must not be in a workspace from somebody else: a database that acts, files that are another's, links.

A database can hold statements that run when alcli writes (triggers), stand in for its tables (views), or start code of
an extension (virtual tables). A journal beside it is written into it by whoever opens it, and may name a file to
delete.
"""

from __future__ import annotations

import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path

from alcli.errors import DataError, UsageError

SIDE_FILES = ("-wal", "-shm", "-journal")
JOURNAL = "-journal"
IN_PLACE = ("alcli.lock", "logs/*")
"""Files that a run writes without replacing them."""
WRITTEN_INTO = ("alcli.lock", "logs", "cycles", "logs/*", "cycles/*", "cycles/*/*")
VIRTUAL = "create virtual"
Definition = tuple[str, str]
"""Kind and name of what a database holds."""


def check_links(root: Path) -> None:
    """Raise UsageError for a link where a run writes, DataError for a second name of a file outside.

    A workspace from somebody else could overwrite any file by them.
    """
    for path in _matches(root, WRITTEN_INTO):
        if path.is_symlink():
            raise UsageError(
                f"{path} is a link to {path.readlink()}; alcli writes cycles, logs and lock into real folders only.",
                do="Move what it points to into its place. If the disk is too small, move the whole workspace.",
            )
    for path in _matches(root, IN_PLACE):
        _check_one_name(path)


def check_backup(root: Path) -> None:
    """Raise DataError for a link in a backup: what it points to would be taken for a part of it."""
    for path in _matches(root, ("alcli.toml", "cycles", "cycles/*", "cycles/*/*")):
        if path.is_symlink():
            raise DataError(
                f"{path} is a link to {path.readlink()}, which alcli never writes into a backup.",
                do="Restore another backup, or put the file itself in its place if you know who made the link.",
            )


def check_files(database: Path, writing: bool) -> None:
    """Raise DataError unless the database and the files beside it are regular files, and without a journal.

    Args:
        writing: also refuse files that have a second name, as a hard link has.
    """
    for path in (database, *(database.with_name(database.name + suffix) for suffix in SIDE_FILES)):
        try:
            facts = path.lstat()
        except FileNotFoundError:
            continue
        if not stat.S_ISREG(facts.st_mode):
            kind = f"a link to {path.readlink()}" if path.is_symlink() else "no regular file"
            raise DataError(
                f"{path} is {kind}, which alcli never makes.", do="Restore the workspace from a backup of your own."
            )
        if writing:
            _check_one_name(path)
        if path.name.endswith(JOURNAL) and facts.st_size:
            raise DataError(
                f"{path} was left by a program that changed the database and broke off; opening the database would "
                "write its content into it. alcli leaves no such file.",
                do="Restore the workspace from a backup of your own.",
            )


def check_definitions(connection: sqlite3.Connection, expected: dict[Definition, str], path: Path) -> None:
    """Raise DataError for a trigger, view, table or index that alcli has not made, or not so.

    What is missing is damage, and found elsewhere.

    Args:
        expected: the statements of an intact database of this version.
    """
    for key, statement in definitions(connection).items():
        kind, name = key
        if expected.get(key) == statement:
            continue
        if key in expected and not _adds_to(statement, expected[key]):
            continue  # a column that is gone or renamed
        virtual = "virtual " if _plain(statement).startswith(VIRTUAL) else ""
        difference = "is not as alcli makes it" if key in expected else "was not made by alcli"
        raise DataError(
            f"{path}: the {virtual}{kind} {name} {difference}; it could run when the database is read or written.",
            kept="Nothing was run, read or changed.",
            do="Restore the workspace from a backup of your own; if you made this yourself, drop it with sqlite3.",
        )


def definitions(connection: sqlite3.Connection) -> dict[Definition, str]:
    """The statement of every trigger, view, table and index of a database by kind and name, without SQLite's own."""
    rows = connection.execute("SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL")
    found = {(str(row[0]), str(row[1])): _plain(str(row[2])) for row in rows}
    return {key: statement for key, statement in found.items() if not key[1].startswith(("sqlite_stat", "sqlite_seq"))}


def _adds_to(statement: str, expected: str) -> bool:
    """Whether a table has more columns or rules than it should, or columns that compute."""
    return statement.count(",") > expected.count(",") or any(
        word in statement and word not in expected for word in ("generated", "check", " as ", "default (", "collate")
    )


def _plain(statement: str) -> str:
    return " ".join(statement.lower().split())


def _check_one_name(path: Path) -> None:
    facts = path.lstat()
    if stat.S_ISREG(facts.st_mode) and facts.st_nlink > 1:
        raise DataError(
            f"{path} has a second name (a hard link): what a run writes into it would change another file.",
            do=f"If it is yours, make it a file of its own: cp -p {path.name} x && mv x {path.name}",
        )


def _matches(root: Path, patterns: tuple[str, ...]) -> Iterator[Path]:
    for pattern in patterns:
        yield from root.glob(pattern) if "*" in pattern else [root / pattern] if _is_there(root / pattern) else []


def _is_there(path: Path) -> bool:
    return path.is_symlink() or path.exists()
