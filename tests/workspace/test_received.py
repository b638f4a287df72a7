"""Workspaces and backups from somebody else, of which the database or its neighbours are not what alcli makes."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.hashes import hashes

STOLEN = "stolen"
OBJECTS = {
    "trigger": "CREATE TRIGGER thief AFTER INSERT ON steps BEGIN DELETE FROM annotations; END",
    "view": "CREATE VIEW thief AS SELECT * FROM items",
    "virtual table": "CREATE VIRTUAL TABLE thief USING fts5(content)",
    "table": "CREATE TABLE thief (name TEXT)",
    "index": "CREATE INDEX thief ON items (lower(name))",
}
REPLACED = {
    "a table that is a view": ("ALTER TABLE skips RENAME TO thief", "CREATE VIEW skips AS SELECT * FROM thief"),
    "a column that computes": ("ALTER TABLE skips ADD COLUMN thief TEXT GENERATED ALWAYS AS (upper(name)) VIRTUAL",),
    "a value by default": ("ALTER TABLE skips ADD COLUMN thief TEXT DEFAULT 'x'",),
}
COMMANDS = (("status",), ("list", "quarantine"), ("cycle",), ("push",), ("backup", STOLEN), ("doctor",))


def change(root: Path, *statements: str) -> None:
    with closing(sqlite3.connect(root / "alcli.db", isolation_level=None)) as database:
        for statement in statements:
            database.execute(statement)


def contents(root: Path) -> dict[str, str]:
    """Of everything but the shared memory and the empty logs of readers."""
    files = (path for path in root.rglob("*") if path.is_file() and path.suffix != ".db-shm")
    return hashes(path for path in files if path.suffix != ".db-wal" or path.stat().st_size)


def refused(alcli, root: Path, name: str, *commands) -> None:
    """Every command is refused with the name of the thing, and nothing changes."""
    before = contents(root)
    for command in commands or COMMANDS:
        words = [root.parent / word if word is STOLEN else word for word in command]
        code, out, err = alcli(*words, "-w", root)
        if command == ("doctor",):
            assert name in " ".join(out.split()), (command, out, err)
            continue
        assert code == 5 and name in err, (command, code, err)
    assert not (root.parent / STOLEN).exists()
    assert contents(root) == before


@pytest.mark.parametrize("kind", OBJECTS)
def test_what_alcli_never_makes_in_a_database_is_named_before_anything_runs(alcli, workspace, kind):
    change(workspace, OBJECTS[kind])
    refused(alcli, workspace, f"the {kind} thief")


@pytest.mark.parametrize("kind", REPLACED)
def test_a_table_of_another_making_is_named(alcli, workspace, kind):
    change(workspace, *REPLACED[kind])
    refused(alcli, workspace, "thief" if kind == "a table that is a view" else "the table skips")


@pytest.mark.parametrize("kind", OBJECTS)
def test_restore_looks_as_closely(alcli, workspace, tmp_path, kind):
    assert alcli("backup", "-w", workspace, tmp_path / "copy")[0] == 0
    change(tmp_path / "copy", OBJECTS[kind])
    code, _, err = alcli("restore", tmp_path / "copy", "-w", tmp_path / "W2")
    assert code == 5 and f"the {kind} thief" in err
    assert not (tmp_path / "W2").exists()


def test_an_older_database_is_compared_with_what_the_older_alcli_made(alcli, workspace):
    change(workspace, "DROP TABLE skips", "DROP TABLE first_hashes", "DROP TABLE queues",
           "ALTER TABLE images DROP COLUMN side", "PRAGMA user_version = 1")  # fmt: skip
    assert alcli("status", "-w", workspace)[0] == 0
    change(workspace, OBJECTS["trigger"])
    refused(alcli, workspace, "the trigger thief", ("status",), ("pull",))


@pytest.mark.parametrize("name", ["alcli.db", "alcli.db-wal", "alcli.db-shm", "alcli.db-journal"])
@pytest.mark.parametrize("kind", ["symbolic link", "hard link", "pipe", "folder"])
def test_the_database_and_its_neighbours_are_files_of_their_own(alcli, workspace, tmp_path, name, kind):
    victim, path = tmp_path / "victim", workspace / name
    victim.write_bytes((workspace / "alcli.db").read_bytes() if name == "alcli.db" else b"")
    content = victim.read_bytes()
    path.unlink(missing_ok=True)
    {
        "symbolic link": lambda: path.symlink_to(victim),
        "hard link": lambda: path.hardlink_to(victim),
        "pipe": lambda: os.mkfifo(path),
        "folder": path.mkdir,
    }[kind]()
    for command in ("cycle", "pull", "skip"):
        code, _, err = alcli(command, *(["x.txt"] if command == "skip" else []), "-w", workspace)
        assert code == 5 and str(path) in err, (command, code, err)
    assert victim.read_bytes() == content
    code, _, err = alcli("restore", workspace, "-w", tmp_path / "W2")
    # A hard link is only read here: snapshots of backups are made of them.
    if kind != "hard link":
        assert code in (2, 5) and not (tmp_path / "W2").exists(), err


def test_a_log_of_other_content_is_looked_into(alcli, workspace):
    """A trigger that is only in the write-ahead log, as of a workspace that was copied during a run."""
    script = (
        "import os, sqlite3, sys\n"
        "connection = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "connection.execute('PRAGMA wal_autocheckpoint = 0')\n"
        f"connection.execute({OBJECTS['trigger']!r})\n"
        "os._exit(0)\n"
    )
    subprocess.run([sys.executable, "-c", script, str(workspace / "alcli.db")], check=True)
    assert (workspace / "alcli.db-wal").stat().st_size > 0
    refused(alcli, workspace, "the trigger thief", ("status",), ("cycle",))


def hot_journal(root: Path) -> None:
    """What a writer leaves that was killed: the pages before its change, put back by whoever opens the database."""
    script = (
        "import os, sqlite3, sys\n"
        "connection = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "connection.execute('PRAGMA journal_mode = DELETE')\n"
        "connection.execute('PRAGMA cache_size = 1')\n"
        "connection.execute('PRAGMA cache_spill = 1')\n"
        "connection.execute('BEGIN')\n"
        "connection.execute('CREATE TABLE thief (content BLOB)')\n"
        "connection.executemany('INSERT INTO thief VALUES (zeroblob(9000))', [()] * 50)\n"
        "os._exit(0)\n"
    )
    subprocess.run([sys.executable, "-c", script, str(root / "alcli.db")], check=True)
    assert (root / "alcli.db-journal").stat().st_size > 0


def test_a_hot_journal_is_not_rolled_back(alcli, workspace, tmp_path):
    hot_journal(workspace)
    refused(alcli, workspace, "alcli.db-journal")
    code, _, err = alcli("restore", workspace, "-w", tmp_path / "W2")
    assert code == 5 and "alcli.db-journal" in err and not (tmp_path / "W2").exists()


def test_the_first_writer_of_a_restored_workspace_needs_no_journal(alcli, workspace, tmp_path):
    """Killed there, it would leave one, and the next run would refuse it."""
    assert alcli("backup", "-w", workspace, tmp_path / "copy")[0] == 0
    assert alcli("restore", tmp_path / "copy", "-w", tmp_path / "W2")[0] == 0
    for root in (tmp_path / "copy", tmp_path / "W2"):
        assert [path.name for path in root.glob("alcli.db*")] == ["alcli.db"]
    assert (tmp_path / "W2/alcli.db").read_bytes()[18:20] == b"\x02\x02"  # the format with a write-ahead log


@pytest.mark.parametrize("place", ["alcli.lock", "logs/alcli.jsonl"])
def test_nothing_is_written_into_a_second_name_of_another_file(alcli, workspace, tmp_path, place):
    victim = tmp_path / "bashrc"
    victim.write_text("precious\n")
    (workspace / place).parent.mkdir(exist_ok=True)
    (workspace / place).unlink(missing_ok=True)
    (workspace / place).hardlink_to(victim)
    code, _, err = alcli("cycle", "-w", workspace)
    assert code == 5 and str(workspace / place) in err
    assert victim.read_text() == "precious\n"


@pytest.mark.parametrize("place", ["alcli.toml", "cycles", "cycles/0001", "cycles/0001/scores.csv"])
def test_a_backup_with_links_is_not_restored(alcli, workspace, tmp_path, place):
    assert alcli("cycle", "-w", workspace)[0] == 0
    assert alcli("backup", "-w", workspace, tmp_path / "copy")[0] == 0
    path = tmp_path / "copy" / place
    shutil.move(path, tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    code, _, err = alcli("restore", tmp_path / "copy", "-w", tmp_path / "W2")
    assert code == 5 and f"{path} is a link" in err
    assert not (tmp_path / "W2").exists()


def test_a_copy_by_snapshots_is_restored(alcli, workspace, tmp_path):
    assert alcli("cycle", "-w", workspace)[0] == 0
    assert alcli("backup", "-w", workspace, tmp_path / "copy")[0] == 0
    shutil.copytree(tmp_path / "copy", tmp_path / "snapshot", copy_function=os.link)
    assert alcli("restore", tmp_path / "snapshot", "-w", tmp_path / "W2")[0] == 0
    assert alcli("cycle", "-w", tmp_path / "W2")[0] == 0
