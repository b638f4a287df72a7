from __future__ import annotations

import faulthandler
import multiprocessing
import os
import signal
import subprocess
import sys
import time

import pytest

from alcli.system import processes, workers
from alcli.system.processes import Died, map_in_processes, run_in_child


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
def test_only_values_that_kill_their_process_are_missing_and_the_order_is_kept(workers):
    results = list(map_in_processes(tenfold, range(100), workers))
    assert {value: result for value, result in enumerate(results) if isinstance(result, Died)} == {
        13: Died(False), 14: Died(False), 57: Died(False), 40: Died(True),
    }  # fmt: skip
    assert all(result == 10 * value for value, result in enumerate(results) if not isinstance(result, Died))


def test_no_values_start_no_process(monkeypatch):
    monkeypatch.setattr(workers, "_Worker", None)
    assert list(map_in_processes(tenfold, [], 2)) == []


def test_exceptions_in_a_child_are_raised_in_the_parent():
    with pytest.raises(KeyError):
        list(map_in_processes(tenfold, [1, -1], 1))
    with pytest.raises(KeyError):
        run_in_child(tenfold, [-1])


def test_closing_the_iterator_leaves_no_process():
    results = map_in_processes(tenfold, range(12), 2)
    next(results)
    results.close()
    deadline = time.monotonic() + 10
    while multiprocessing.active_children():
        assert time.monotonic() < deadline


def test_processes_end_with_a_killed_parent(tmp_path):
    code = f"""
import os, sys, time
from pathlib import Path
from alcli.system.processes import map_in_processes
def slow(value):
    Path({str(tmp_path)!r}, str(os.getpid())).touch()
    time.sleep(60)
list(map_in_processes(slow, [1], 1))
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


def test_worker_count_is_limited_by_request_cores_and_batches():
    assert processes.worker_count(0, 100) == 0
    assert processes.worker_count(3, 100) == 3
    assert processes.worker_count(3, 2) == 2
    assert 1 <= processes.worker_count(None, 100) <= processes.MOST_WORKERS
