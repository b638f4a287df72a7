from __future__ import annotations

import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from alcli.errors import MachineError, WorkspaceTooNew
from alcli.workspace import Workspace, store

NEXT = (
    (
        "ALTER TABLE items ADD COLUMN weight REAL NOT NULL DEFAULT 1.5",
        "CREATE TABLE notes (item_id TEXT PRIMARY KEY, text TEXT NOT NULL)",
        "INSERT INTO notes SELECT id, 'of ' || name FROM items",
    ),
    ("ALTER TABLE notes ADD COLUMN author TEXT NOT NULL DEFAULT ''",),
)
RELEASED = store.MIGRATIONS
LATER = store.newest_version() + len(NEXT)
COPY = f"alcli.db.before-{LATER}"


def content(database: Path) -> list[str]:
    """Every row of every table, and the schema, as SQL."""
    connection = sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)
    try:
        return [str(connection.execute("PRAGMA user_version").fetchone()), *connection.iterdump()]
    finally:
        connection.close()


@pytest.fixture
def used(alcli, workspace):
    """A workspace of this version in which a cycle has run."""
    assert alcli("cycle", "-w", workspace)[0] == 0
    return workspace


@pytest.fixture
def upgraded(monkeypatch):
    """An alcli two versions newer."""
    monkeypatch.setattr(store, "MIGRATIONS", (*RELEASED, *NEXT))


def test_the_first_writer_after_an_upgrade_migrates_and_keeps_a_copy(alcli, used, upgraded):
    before = content(used / "alcli.db")
    code, _, err = alcli("cycle", "-w", used)
    assert code == 0
    assert COPY in err
    assert content(used / COPY) == before
    assert stat.S_IMODE((used / COPY).stat().st_mode) == 0o600
    connection = sqlite3.connect(used / "alcli.db")
    assert connection.execute("PRAGMA user_version").fetchone() == (LATER,)
    assert connection.execute("SELECT COUNT(*), MIN(weight) FROM items").fetchone() == (12, 1.5)
    assert connection.execute("SELECT COUNT(*), MAX(author) FROM notes WHERE text LIKE 'of photo%'").fetchone() == (
        12,
        "",
    )
    connection.close()
    assert "schema" not in alcli("cycle", "-w", used)[2]


def test_every_row_is_kept(used, upgraded):
    before = [line for line in content(used / "alcli.db") if line.startswith("INSERT")]
    workspace = Workspace.open(used)
    with workspace.lock():
        after = [line for line in content(used / "alcli.db") if line.startswith("INSERT")]
    workspace.close()
    assert [line.replace(",1.5)", ")") for line in after if '"notes"' not in line] == before


def test_looking_at_an_older_workspace_changes_nothing_and_sees_the_new_schema(alcli, used, upgraded):
    before = (used / "alcli.db").read_bytes()
    code, out, _ = alcli("status", "-w", used, "--json")
    assert code == 0
    assert '"labeled": 8' in out
    reader = Workspace.open(used, read_only=True)
    assert reader.store.version() == LATER
    reader.close()
    assert (used / "alcli.db").read_bytes() == before
    assert not (used / COPY).exists()


@pytest.mark.parametrize("place", range(5))
def test_broken_off_anywhere_the_old_version_is_whole(alcli, used, monkeypatch, place):
    before = content(used / "alcli.db")
    statements = [statement for version in NEXT for statement in version]
    statements.insert(place, "INSERT INTO there_is_no_such_table VALUES (1)")
    monkeypatch.setattr(store, "MIGRATIONS", (*RELEASED, tuple(statements[:4]), tuple(statements[4:])))
    code, _, err = alcli("pull", "-w", used)
    assert code == MachineError.exit_code
    assert "there_is_no_such_table" in err
    assert content(used / "alcli.db") == before == content(used / COPY)
    monkeypatch.setattr(store, "MIGRATIONS", (*RELEASED, *NEXT))
    assert alcli("pull", "-w", used)[0] == 0


@pytest.mark.parametrize("moment", ["copy_database", "migrate", "statement"])
def test_killed_anywhere_the_old_version_is_whole(used, moment):
    before = content(used / "alcli.db")
    code = f"""
import os, sys
from pathlib import Path
from alcli.workspace import store
from alcli import workspace
store.MIGRATIONS = (*store.MIGRATIONS, *{NEXT!r})
def killed(*_): os.kill(os.getpid(), 9)
if {moment!r} == "copy_database": workspace.Path.chmod = killed
if {moment!r} == "migrate": store.Store.migrate = killed
opened = workspace.Workspace.open(Path(sys.argv[1]))
opened._connection.create_function("killed", 0, killed)
if {moment!r} == "statement": store.MIGRATIONS = (*store.MIGRATIONS[:-1], (*store.MIGRATIONS[-1], "SELECT killed()"))
with opened.lock(): pass
"""
    assert subprocess.run([sys.executable, "-c", code, str(used)], check=False).returncode == -9
    assert content(used / "alcli.db") == before
    # The next run clears up, and this alcli still works with it.
    with Workspace.open(used).lock():
        assert not list(used.glob(".alcli-tmp-*"))


def test_a_new_workspace_has_the_newest_schema_at_once(tmp_path, used, upgraded):
    with Workspace.open(used).lock():
        pass
    Workspace.create(tmp_path / "new", {}).close()
    schemas = [[line for line in content(root / "alcli.db") if "CREATE" in line] for root in (tmp_path / "new", used)]
    assert schemas[0] == schemas[1]


def test_a_backup_of_an_older_workspace_can_be_restored_and_used(alcli, used, upgraded, tmp_path):
    assert alcli("backup", tmp_path / "copy", "-w", used)[0] == 0
    assert alcli("restore", tmp_path / "copy", "-w", tmp_path / "W2")[0] == 0
    assert alcli("cycle", "-w", tmp_path / "W2")[0] == 0


@pytest.mark.parametrize("read_only", [True, False])
def test_not_a_byte_of_a_newer_workspace_changes(used, read_only):
    # A killed run leaves rows in SQLite's log, which an ordinary connection would move into the database.
    code = (
        "import os, sqlite3, sys; connection = sqlite3.connect(sys.argv[1], isolation_level=None);"
        "connection.execute('PRAGMA user_version = 99'); os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", code, str(used / "alcli.db")], check=True)
    names = ("alcli.db", "alcli.db-wal")
    before = [(used / name).read_bytes() for name in names]
    assert before[1]
    with pytest.raises(WorkspaceTooNew, match="schema 99"):
        Workspace.open(used, read_only)
    assert [(used / name).read_bytes() for name in names] == before
