from __future__ import annotations

import json
import multiprocessing
import os
import sqlite3
import stat
import subprocess
import sys
import time

import pytest

from alcli.errors import (
    MachineError,
    UsageError,
    WorkspaceDamaged,
    WorkspaceMissing,
    WorkspaceTooNew,
)
from alcli.workspace import Workspace
from alcli.workspace.records import Scored, Training

SETTINGS = {"platform.name": "folder", "task.name": "detection"}


@pytest.fixture
def made(tmp_path):
    workspace = Workspace.create(tmp_path / "W", SETTINGS)
    workspace.store.start_cycle(1, "", "then")
    yield workspace
    workspace.close()


def test_it_is_found_from_below(made, tmp_path):
    deep = made.root / "cycles" / "0001"
    deep.mkdir()
    assert Workspace.find(deep) == made.root
    with pytest.raises(WorkspaceMissing):
        Workspace.find(tmp_path)


def test_it_is_made_once_and_private(made):
    with pytest.raises(UsageError, match="a workspace already"):
        Workspace.create(made.root, SETTINGS)
    assert stat.S_IMODE(made.root.stat().st_mode) == 0o700
    for name in ("alcli.toml", "alcli.db"):
        assert stat.S_IMODE((made.root / name).stat().st_mode) == 0o600


def test_what_is_no_workspace(tmp_path, made):
    with pytest.raises(WorkspaceMissing):
        Workspace.open(tmp_path)
    made.close()
    for path in made.root.glob("alcli.db*"):
        path.unlink()
    with pytest.raises(WorkspaceDamaged, match="is missing"):
        Workspace.open(made.root)


@pytest.mark.parametrize("content", [b"", b"not a database at all" * 100])
@pytest.mark.parametrize("read_only", [True, False])
def test_a_damaged_database_is_never_written_over(made, content, read_only):
    made.close()
    for path in made.root.glob("alcli.db*"):
        path.unlink()
    (made.root / "alcli.db").write_bytes(content)
    with pytest.raises(WorkspaceDamaged):
        Workspace.open(made.root, read_only)
    assert (made.root / "alcli.db").read_bytes() == content


def test_a_newer_workspace_is_left_alone(made):
    made.close()
    connection = sqlite3.connect(made.root / "alcli.db")
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(WorkspaceTooNew, match="schema 99"):
        Workspace.open(made.root)


def test_a_step_is_done_only_with_its_inputs_and_an_intact_file(made):
    path = made.cycle_folder(1) / "scores.csv"
    path.write_text("a\n")
    made.finish_step(1, "inputs", Scored(scored=1), path)
    assert made.matching_step(1, Scored, "inputs").summary == Scored(scored=1)
    assert made.matching_step(1, Scored, "other") is None
    assert made.matching_step(1, Training, "inputs") is None
    record = made.step(1, Scored)
    assert made.verify_file(record) == path
    path.write_text("b\n")
    assert made.matching_step(1, Scored, "inputs") is None
    with pytest.raises(WorkspaceDamaged, match="SHA-256"):
        made.verify_file(record)
    path.unlink()
    with pytest.raises(WorkspaceDamaged, match="missing"):
        made.verify_file(record)


def test_leftovers_of_a_killed_run_go_with_the_next_lock(made):
    left = [made.root / ".alcli-tmp-a", made.cycle_folder(1) / ".alcli-tmp-b"]
    for path in left:
        path.write_text("half")
    with made.lock():
        assert not any(path.exists() for path in left)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become another user")
def test_a_read_only_workspace_can_be_read_and_not_written(made, tmp_path):
    made.close()
    for path in (tmp_path, *tmp_path.parents[:3]):
        path.chmod(0o755)
    for path in (made.root, *made.root.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()

    def as_nobody():
        os.setuid(65534)
        answers = [Workspace.open(made.root, read_only=True).store.pool().counts()["labeled"]]
        try:
            Workspace.open(made.root)
        except MachineError as error:
            answers.append(error.what)
        queue.put(json.dumps(answers))

    process = context.Process(target=as_nobody)
    process.start()
    process.join(30)
    assert json.loads(queue.get()) == [0, f"{made.root} is read-only."]


def test_waiting_for_another_run_ends_when_it_does(alcli, workspace):
    code = "import sys, time; from pathlib import Path; from alcli.workspace import Workspace\n"
    code += "with Workspace.open(Path(sys.argv[1])).lock():\n    print('held', flush=True); time.sleep(3)"
    with subprocess.Popen([sys.executable, "-c", code, str(workspace)], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        started = time.monotonic()
        assert alcli("pull", "-w", workspace)[0] == 11
        code, _, err = alcli("pull", "-w", workspace, "--wait", "0.3s")
        assert code == 11
        assert "--wait 30m" in err
        assert time.monotonic() - started < 3
        assert alcli("pull", "-w", workspace, "--wait", "60s")[0] == 0
