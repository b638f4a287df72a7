import subprocess
import sys

import torch

from alcli import loading


def test_workers_follow_wish_cores_and_work():
    assert loading.worker_count(0, 100) == 0
    assert loading.worker_count(3, 100) == 3
    assert loading.worker_count(3, 2) == 2
    assert 1 <= loading.worker_count(None, 100) <= loading.MOST_WORKERS


def test_precision_is_what_was_asked_for():
    for wanted, expected in (("bfloat16", torch.bfloat16), ("float32", torch.float32)):
        with loading.precision(wanted):
            assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == expected


def test_keeping_freed_memory_works_on_this_system():
    code = "from alcli import loading; loading._keep_freed_memory(); import torch; print(torch.ones(10**7).sum())"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout.startswith(b"tensor")
