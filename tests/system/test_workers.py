"""Processes over pipes: results in order, deaths and silences noticed, nothing needed but descriptors."""

from __future__ import annotations

import logging
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest

from alcli.system import processes, workers
from alcli.system.processes import Died, map_in_processes
from alcli.system.progress import LOG
from alcli.system.workers import WorkerDied, Workers, WorkerStuck


def twice(value, sign_life):
    sign_life()
    return 2 * value


def run(pool: Workers, values) -> list:
    results = []
    for value in values:
        pool.send(value)
        if pool.pending == 2 * len(pool):
            results.append(pool.receive())
    while pool.pending:
        results.append(pool.receive())
    return results


@pytest.fixture
def pool(request):
    with_pool = Workers(*request.param)
    yield with_pool
    with_pool.close()


@pytest.mark.parametrize("pool", [(twice, 1), (twice, 3)], indirect=True)
def test_results_come_in_the_order_of_the_values(pool):
    assert run(pool, range(20)) == [2 * value for value in range(20)]


@pytest.mark.parametrize("pool", [(lambda size, sign: os.urandom(size), 2)], indirect=True)
def test_results_may_be_larger_than_a_pipe(pool):
    assert [len(result) for result in run(pool, [5_000_000, 3, 9_000_000])] == [5_000_000, 3, 9_000_000]


def test_a_silent_process_is_given_up_and_says_where_it_was():
    def work(values, sign_life):
        for value in values:
            time.sleep(value)
            sign_life()

    pool = Workers(work, 1, silent=1.5)
    try:
        pool.send([0.8, 0.8, 0.8])  # alive, though slower in all than the limit
        assert pool.receive() is None
        pool.send([0.0, 0.0, 600.0, 0.0])
        started = time.monotonic()
        with pytest.raises(WorkerStuck) as error:
            pool.receive()
        assert error.value.done == 2
        assert time.monotonic() - started < 30
    finally:
        pool.close()


def test_a_dead_process_is_noticed_in_the_middle_of_a_message():
    def work(size, sign_life):
        result = bytearray(size)
        os.kill(os.getpid(), 9) if size == 0 else None
        return result

    pool = Workers(work, 1)
    try:
        pool.send(1000)
        assert len(pool.receive()) == 1000
        pool.send(0)
        with pytest.raises(WorkerDied) as error:
            pool.receive()
        assert error.value.exit_code == -9
    finally:
        pool.close()


def test_an_image_that_takes_for_ever_costs_this_image(monkeypatch):
    monkeypatch.setattr(workers, "SILENT_SECONDS", 1.5)
    results = list(map_in_processes(slow_at_five, range(20), 2))
    assert [value for value, result in enumerate(results) if isinstance(result, Died)] == [5]
    assert results[5].reason == "its decoding took longer than 2 s"
    assert results[5].killed
    assert [result for value, result in enumerate(results) if value != 5] == [v for v in range(20) if v != 5]


def slow_at_five(value: int) -> int:
    if value == 5:
        time.sleep(600)
    return value


@pytest.fixture
def said():
    lines: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record):
            lines.append(record.getMessage())

    handler = Keep()
    LOG.addHandler(handler)
    workers._say_fewer.cache_clear()
    yield lines
    LOG.removeHandler(handler)
    workers._say_fewer.cache_clear()


@pytest.mark.parametrize(("spare", "count"), [(0, 0), (1, 1), (20, 4)])
def test_as_many_processes_as_files_may_be_open(monkeypatch, said, spare, count):
    monkeypatch.setattr(workers, "free_descriptors", lambda: workers.DESCRIPTORS_EACH * spare)
    pool = Workers(twice, 4)
    try:
        assert len(pool) == count
    finally:
        pool.close()
    assert len(said) == (count < 4)
    assert all("ulimit -n" in line for line in said)
    assert list(map_in_processes(slow_at_five, range(4), 4)) == [0, 1, 2, 3]


def test_a_fork_that_is_refused_leaves_the_work_to_this_process(monkeypatch, said):
    def refuse(self):
        raise OSError(11, "Resource temporarily unavailable")

    monkeypatch.setattr("multiprocessing.context.ForkProcess.start", refuse)
    before = sum(1 for _ in Path("/dev/fd").iterdir())
    assert list(map_in_processes(slow_at_five, range(4), 2)) == [0, 1, 2, 3]
    assert said == ["Images are decoded in the main process: Resource temporarily unavailable."]
    assert sum(1 for _ in Path("/dev/fd").iterdir()) == before


def test_free_descriptors_count_what_is_open():
    free = workers.free_descriptors()
    assert free <= resource.getrlimit(resource.RLIMIT_NOFILE)[0] - workers.SPARE_DESCRIPTORS
    kept = [os.open("/dev/null", os.O_RDONLY) for _ in range(5)]
    assert workers.free_descriptors() == free - 5
    for descriptor in kept:
        os.close(descriptor)


def test_the_number_of_processes_does_not_change_the_results():
    expected = list(map(slow_at_five, range(6, 60)))
    assert all(list(map_in_processes(slow_at_five, range(6, 60), count)) == expected for count in (1, 2, 5))
    assert processes.MOST_WORKERS == 8


def test_signals_are_obeyed_in_time_whatever_the_process_waits_for():
    """A main thread that Python cannot interrupt, and a thread that never ends."""
    code = """
import ctypes, signal, threading, time
import alcli.system.interruption as interruption
interruption.LAST_SECONDS = 1.0
interruption.end_soon_after_signals()
signal.signal(signal.SIGTERM, lambda number, frame: None)
threading.Thread(target=time.sleep, args=(600,)).start()
print("ready", flush=True)
libc = ctypes.CDLL(None)
while True:
    libc.sleep(100)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.terminate()
        assert process.wait(60) == 143
