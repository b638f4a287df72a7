from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time

import pytest

from alcli.engines import shards
from tests.support.trained import SCORES


@pytest.mark.slow
def test_processes_give_the_list_of_a_plain_run_also_if_one_is_killed(alcli, trained):
    root, expected, _ = trained

    def kill_one():
        while not (children := multiprocessing.active_children()):
            time.sleep(0.01)
        os.kill(children[0].pid, signal.SIGKILL)

    killer = threading.Thread(target=kill_one)
    killer.start()
    code, _, err = alcli("score", "-w", root, "--set", "score.engine=shards", "--set", "score.processes=2")
    killer.join()
    assert code == 0, err
    assert (root / SCORES).read_bytes() == expected
    assert not multiprocessing.active_children()


@pytest.mark.parametrize(
    ("gpus", "processes", "expected"), [(0, None, [None, None]), (3, None, [0, 1, 2]), (2, 3, [0, 1, 0])]
)
def test_each_process_has_a_gpu_of_its_own(monkeypatch, alcli, trained, gpus, processes, expected):
    root, list_of_plain_run, _ = trained
    works = []

    class Process:
        """Runs nothing: what it would do is what counts."""

        pid = None

        def __init__(self, target, args, daemon):
            works.extend(args)

        def start(self):
            pass

        def is_alive(self):
            return False

    monkeypatch.setattr("torch.cuda.device_count", lambda: gpus)
    monkeypatch.setattr(shards.multiprocessing, "get_context", lambda _: type("Spawn", (), {"Process": Process}))
    flags = ("--set", f"score.processes={processes}") if processes else ()
    assert alcli("score", "-w", root, "--set", "score.engine=shards", *flags)[0] == 0
    assert [work.gpu for work in works] == expected
    assert sum(len(work.parts) for work in works) == 10
    assert (root / SCORES).read_bytes() == list_of_plain_run


@pytest.mark.parametrize(("before", "expected"), [(None, "1"), ("4,7", "7")])
def test_a_process_sees_only_its_gpu(monkeypatch, before, expected):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if before:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", before)

    def stop(root):
        raise InterruptedError(os.environ["CUDA_VISIBLE_DEVICES"])

    monkeypatch.setattr(shards.Workspace, "open_copy", stop)
    with pytest.raises(InterruptedError, match=f"^{expected}$"):
        shards._run(shards.Work(None, None, None, [], 1, 1))
