import subprocess
import sys


def test_keeping_freed_memory_works_on_this_system():
    code = (
        "from alcli.engine import loading; loading._keep_freed_memory(); import torch; print(torch.ones(10**7).sum())"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout.startswith(b"tensor")


def test_a_bug_in_a_worker_ends_the_program_instead_of_hanging_at_exit():
    code = """
from pathlib import Path
from alcli.items import Item
from alcli.engine.loading import batches
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


def test_decoding_yields_to_the_model_but_not_to_all_other_work():
    code = """
import os
from pathlib import Path
import torch
from alcli.items import Item
from alcli.engine.loading import batches
from alcli.tasks import Example
class Nice:
    def load(self, example, augment):
        return torch.full((3, 1, 1), os.nice(0), dtype=torch.uint8), {}, (1, 1)
example = Example(Item("1", "1", "u"), Path("x"))
(batch, _), = batches(Nice(), [example], lambda _: [[0]], 1)
print(batch.images[0, 0, 0, 0].item() - os.nice(0))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60, text=True)
    assert done.stdout.strip() == "5", done.stderr
