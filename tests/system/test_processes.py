from __future__ import annotations

import faulthandler
import multiprocessing
import os
import signal
import subprocess
import sys
import time

import pytest

from alcli.system import processes
from alcli.system.processes import Died, attempt, in_processes


def tenfold(value: int) -> int:
    if value in (13, 14, 57):
        faulthandler.disable()
        os.abort()
    if value == 40:
        os.kill(os.getpid(), signal.SIGKILL)
    if value == -1:
        raise KeyError(value)
    return 10 * value


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_only_what_kills_its_process_is_missing_and_the_order_stays(workers):
    found = list(in_processes(tenfold, range(100), workers))
    assert {place: row for place, row in enumerate(found) if isinstance(row, Died)} == {
        13: Died(False), 14: Died(False), 57: Died(False), 40: Died(True),
    }  # fmt: skip
    assert all(row == 10 * place for place, row in enumerate(found) if not isinstance(row, Died))


def test_nothing_to_do_starts_nothing(monkeypatch):
    monkeypatch.setattr(processes, "ProcessPoolExecutor", None)
    assert list(in_processes(tenfold, [], 2)) == []


def test_bugs_are_raised_here():
    with pytest.raises(KeyError):
        list(in_processes(tenfold, [1, -1], 1))
    with pytest.raises(KeyError):
        attempt(tenfold, [-1])


def test_one_who_stops_listening_leaves_no_process():
    rows = in_processes(tenfold, range(12), 2)
    next(rows)
    rows.close()
    deadline = time.monotonic() + 10
    while multiprocessing.active_children():
        assert time.monotonic() < deadline


def test_processes_end_with_a_killed_parent(tmp_path):
    code = f"""
import os, sys, time
from pathlib import Path
from alcli.system.processes import in_processes
def slow(value):
    Path({str(tmp_path)!r}, str(os.getpid())).touch()
    time.sleep(60)
list(in_processes(slow, [1], 1))
"""
    parent = subprocess.Popen([sys.executable, "-c", code])
    deadline = time.monotonic() + 20
    while not list(tmp_path.iterdir()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    parent.kill()
    parent.wait()
    child = int(next(tmp_path.iterdir()).name)
    while _runs(child):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _runs(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as stream:  # noqa: PTH123
            return stream.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_workers_follow_wish_cores_and_work():
    assert processes.worker_count(0, 100) == 0
    assert processes.worker_count(3, 100) == 3
    assert processes.worker_count(3, 2) == 2
    assert 1 <= processes.worker_count(None, 100) <= processes.MOST_WORKERS
