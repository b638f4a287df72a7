"""What a push leaves when it is killed, and what a cycle without anything new reads and writes."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest

from alcli.system import tables

KILLED_PUSH = """
import os, sys
from alcli.cli import run
from alcli.cycle import push
from alcli.platforms._queue_file import QueueFile

push.SECONDS_UNSAVED = float(sys.argv[1])
send = QueueFile.push

def killed(self, query):
    if sys.argv[2] == "before":
        for row in query[:2]:
            yield push.Receipt(row.item.id, row.rank, True)
        os._exit(9)
    for number, receipt in enumerate(send(self, query)):
        if number == 2:
            os._exit(9)
        yield receipt

QueueFile.push = killed
run(["push", "-w", sys.argv[3]])
"""
ONCE = """
import sys
from alcli.cli import run
code = run(["cycle", "-w", sys.argv[1], "--strategy", "random"])
sys.exit("torch was imported" if "torch" in sys.modules else code)
"""


def receipts(workspace) -> list[tuple[str, int, int]]:
    with closing(sqlite3.connect(workspace / "alcli.db")) as database:
        return database.execute("SELECT item_id, position, accepted FROM receipts ORDER BY position").fetchall()


@pytest.fixture
def scored(alcli, workspace):
    """A workspace with a list of four images that nobody has pushed."""
    for command in (["pull"], ["train"], ["score", "--strategy", "random"]):
        code, _, err = alcli(*command, "-w", workspace)
        assert code == 0, err
    assert not (workspace / "queue.csv").exists() and receipts(workspace) == []
    return workspace


@pytest.mark.parametrize(
    ("seconds", "when", "saved"), [(-1, "before", 2), (99, "before", 0), (-1, "after", 2), (99, "after", 0)]
)
def test_a_killed_push_is_completed_by_the_next_one(alcli, scored, seconds, when, saved):
    done = subprocess.run([sys.executable, "-c", KILLED_PUSH, str(seconds), when, str(scored)], check=False)
    assert (done.returncode, len(receipts(scored))) == (9, saved)
    assert (scored / "queue.csv").exists() == (when == "after")
    left = (scored / "queue.csv").stat() if when == "after" else None
    for _ in range(2):
        code, _, err = alcli("push", "-w", scored)
        assert code == 0, err
        queue = tables.read(scored / "queue.csv")
        expected = [(row["name"], int(row["position"]), 1) for row in queue]
        assert len(expected) == 4 and receipts(scored) == expected
    if left:  # what the platform has taken already is not sent again
        assert (scored / "queue.csv").stat().st_ino == left.st_ino


def test_an_error_in_the_middle_of_a_push_keeps_the_receipts(alcli, scored, monkeypatch):
    from alcli.errors import PlatformError
    from alcli.items import Receipt
    from alcli.platforms._queue_file import QueueFile

    def stopped(self, query):
        yield Receipt(query[0].item.id, 1, True)
        raise PlatformError("The server is down.")

    with monkeypatch.context() as patch:
        patch.setattr(QueueFile, "push", stopped)
        assert alcli("push", "-w", scored)[0] != 0
    assert [row[1:] for row in receipts(scored)] == [(1, 1)]
    assert alcli("push", "-w", scored)[0] == 0
    assert len(receipts(scored)) == len(tables.read(scored / "queue.csv")) == 4


def test_an_idle_cycle_imports_no_torch_and_writes_little(alcli, workspace, photos):
    photos.draw(300, annotated=8)
    assert alcli("cycle", "-w", workspace, "--strategy", "random")[0] == 0
    with subprocess.Popen([sys.executable, "-c", ONCE, str(workspace)], stdout=subprocess.PIPE, text=True) as process:
        out = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    assert out.startswith("Nothing new since cycle 1")
    assert usage.ru_oublock * 512 < 1_000_000


def test_an_idle_cycle_does_not_parse_an_unchanged_queue(alcli, workspace, monkeypatch):
    from alcli.platforms._queue_file import QueueFile

    assert alcli("cycle", "-w", workspace, "--strategy", "random")[0] == 0
    monkeypatch.setattr(QueueFile, "queue", lambda self: pytest.fail("the queue was parsed"))
    code, out, err = alcli("cycle", "-w", workspace, "--strategy", "random")
    assert code == 0, err
    assert out.startswith("Nothing new")
