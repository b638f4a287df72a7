"""The processes of a simulation, with an engine that only waits."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import threadpoolctl
import torch

from alcli.errors import WorkspaceDamaged
from alcli.simulation.plan import Arm, Plan
from alcli.simulation.runs import Job, Point, execute
from alcli.system.progress import Silent

PLAN = Plan(4, 2, 1)
PARENT = """
from pathlib import Path
from alcli.system.progress import Silent
from alcli.simulation.runs import execute
from tests.simulation.test_runs import Waiting, jobs
execute(jobs(Path.cwd()), Waiting, 2, 1, Silent())
"""


class Waiting:
    """Says who it is, then does nothing."""

    def turns(self, job, points):
        (job.folder / f"{os.getpid()}.pid").touch()
        time.sleep(60)
        yield from ()


class Counting:
    """Says how many threads it may use."""

    def turns(self, job, points):
        libraries = {library["num_threads"] for library in threadpoolctl.threadpool_info()}
        for cycle in range(2):
            yield Point(cycle, 4, 4, {"torch": torch.get_num_threads(), "most": max(libraries)})


def jobs(folder):
    return [Job(folder, Arm(name), 0, PLAN) for name in ("random", "margin")]


def waited_for(condition, seconds=120.0):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)
    return condition()


def alive(pid):
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rsplit(")", 1)[1].split()[0] != "Z"


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes below /proc")
def test_no_process_outlives_a_parent_that_was_killed(tmp_path):
    root = str(Path(__file__).parents[2])
    environment = {**os.environ, "PYTHONPATH": root}
    parent = subprocess.Popen([sys.executable, "-c", PARENT], cwd=tmp_path, env=environment)
    try:
        assert waited_for(lambda: len(list(tmp_path.glob("*.pid"))) == 2)
    finally:
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    children = [int(path.stem) for path in tmp_path.glob("*.pid")]
    try:
        assert waited_for(lambda: not any(map(alive, children)), 60)
    finally:
        for child in filter(alive, children):
            os.kill(child, signal.SIGKILL)


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize("threads", [1, 2])
def test_a_run_has_as_many_threads_however_many_run_beside_it(tmp_path, processes, threads):
    """Sums differ in their last digits with the number of threads, and arms have to start equal."""
    before = torch.get_num_threads()
    execute(jobs(tmp_path), Counting, processes, threads, Silent())
    for job in jobs(tmp_path):
        assert job.points()[0].metrics == {"torch": threads, "most": threads}
    assert torch.get_num_threads() == before


def test_a_file_of_points_that_cannot_be_read_is_named(tmp_path):
    job = jobs(tmp_path)[0]
    job.file.parent.mkdir()
    for text in ('[{"cycle": 0, "lab', '{"cycle": 0}', '[{"cycle": 0}]'):
        job.file.write_text(text)
        with pytest.raises(WorkspaceDamaged, match="random-seed000"):
            job.points()
