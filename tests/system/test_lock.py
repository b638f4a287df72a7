from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time

import pytest

from alcli.errors import WorkspaceLocked
from alcli.system import lock
from alcli.workspace import Workspace

HOLDING = """
import sys
from pathlib import Path
from alcli.system import lock
with lock.hold(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""
SILENT = """
import fcntl, os, sys, time
descriptor = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
fcntl.lockf(descriptor, fcntl.LOCK_EX)
print("held", flush=True)
time.sleep(float(sys.argv[2]))
os.pwrite(descriptor, f"pid {os.getpid()} on here: alcli cycle".encode(), 0)
sys.stdin.read()
"""
FORKING = """
import os, sys, time
from pathlib import Path
from alcli.system import lock
with lock.hold(Path(sys.argv[1])):
    child = os.fork()
    if child == 0: time.sleep(30); os._exit(0)
    print(child, flush=True)
    os.kill(os.getpid(), 9)
"""


@contextlib.contextmanager
def another(code, *arguments):
    """Another process, which holds the lock."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        try:
            yield process.pid
        finally:
            process.kill()
            process.communicate()


def refused(path) -> str:
    with pytest.raises(WorkspaceLocked) as error, lock.hold(path):
        pass
    return error.value.what


def test_the_loser_names_the_holder_at_once_and_readers_are_never_blocked(tmp_path):
    workspace = Workspace.create(tmp_path / "W", {"platform.name": "folder", "task.name": "detection"})
    path = workspace.root / "alcli.lock"
    with another(HOLDING, path) as pid:
        started = time.monotonic()
        assert refused(path).startswith(f"Another run holds this workspace: pid {pid} on ")
        assert time.monotonic() - started < 1
        assert lock.holder(path).startswith(f"pid {pid} on ")
        assert Workspace.open(workspace.root, read_only=True).store.pool().items == {}
    with workspace.lock():
        pass
    workspace.close()


def test_waits_for_a_holder_to_write_its_name(tmp_path):
    """Two runs of one instant: the loser looked into the file before the winner had written."""
    path = tmp_path / "lock"
    path.write_text("pid 1 on an earlier machine since long ago: alcli cycle")
    with another(SILENT, path, 0.2) as pid:
        assert refused(path).startswith(f"Another run holds this workspace: pid {pid} on here: alcli cycle")


def test_a_holder_that_never_writes_its_name_is_identified_by_pid(tmp_path):
    path = tmp_path / "lock"
    path.write_text("pid 1 on an earlier machine since long ago: alcli cycle")
    with another(SILENT, path, 60) as pid:
        started = time.monotonic()
        last = "pid 1 on an earlier machine since long ago: alcli cycle"
        assert refused(path) == f"Another run holds this workspace: pid {pid} (the last to write its name: {last})."
        assert time.monotonic() - started < 1


def test_systems_that_do_not_report_the_holder_are_probed(tmp_path, monkeypatch):
    path = tmp_path / "lock"
    monkeypatch.setattr(sys, "platform", "darwin")
    with another(HOLDING, path) as pid:
        assert lock.holder(path).startswith(f"pid {pid} on ")
        assert refused(path).startswith(f"Another run holds this workspace: pid {pid} on ")
    assert lock.holder(path) == ""


def test_a_lock_file_left_by_an_earlier_run_is_free(tmp_path):
    path = tmp_path / "lock"
    assert lock.holder(path) == ""
    with lock.hold(path):
        pass
    assert path.read_text().startswith(f"pid {os.getpid()} ")
    assert lock.holder(path) == ""


def test_the_lock_ends_with_its_process_even_if_a_forked_worker_survives(tmp_path):
    path = tmp_path / "lock"
    with subprocess.Popen([sys.executable, "-c", FORKING, path], stdout=subprocess.PIPE, text=True) as owner:
        child = int(owner.stdout.readline())
        owner.wait()
        try:
            with lock.hold(path):
                os.kill(child, 0)
        finally:
            os.kill(child, 9)


def test_several_share_it_and_nobody_then_holds_it_alone(tmp_path):
    path = tmp_path / "alcli.lock"
    holding = HOLDING.replace("sys.argv[1]))", "sys.argv[1]), shared=len(sys.argv) > 2)")

    def other(*flags):
        call = [sys.executable, "-c", holding, str(path), *flags]
        return subprocess.run(call, input="", capture_output=True, text=True, check=False)

    with lock.hold(path, shared=True):
        assert other("shared").stdout == "held\n"
        assert "Another run holds this workspace" in other().stderr
    with lock.hold(path):
        assert "Another run holds this workspace" in other("shared").stderr
    assert other().stdout == "held\n"
