import subprocess
import sys

import pytest
import torch

from alcli import loading
from alcli.errors import UsageError


def test_workers_follow_wish_cores_and_work():
    assert loading.worker_count(0, 100) == 0
    assert loading.worker_count(3, 100) == 3
    assert loading.worker_count(3, 2) == 2
    assert 1 <= loading.worker_count(None, 100) <= loading.MOST_WORKERS


def test_precision_is_what_was_asked_for():
    for wanted, expected in (("bfloat16", torch.bfloat16), ("float32", torch.float32)):
        with loading.precision(wanted):
            assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == expected


def test_a_processor_trains_in_float32_whatever_it_could(monkeypatch):
    monkeypatch.setattr(loading, "device", lambda: torch.device("cpu"))
    monkeypatch.setattr(loading, "has_bfloat16", lambda: True)
    for wanted in ("auto", "float32"):
        with loading.training_precision(wanted):
            assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32
    with pytest.raises(UsageError, match="needs a GPU"):
        loading.training_precision("bfloat16")


def test_keeping_freed_memory_works_on_this_system():
    code = "from alcli import loading; loading._keep_freed_memory(); import torch; print(torch.ones(10**7).sum())"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout.startswith(b"tensor")


def test_a_bug_in_a_worker_ends_the_program_instead_of_hanging_at_exit():
    code = """
from pathlib import Path
from alcli.items import Item
from alcli.loading import batches
from alcli.tasks import Example
class Buggy:
    def load(self, example, augment):
        raise ValueError("a bug")
examples = [Example(Item(str(i), str(i), "u"), Path("x")) for i in range(4)]
try:
    list(batches(Buggy(), examples, lambda _: [[0, 1], [2, 3]], 2))
except ValueError as error:
    kept = error
    print("caught")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, "caught"), done.stderr
