"""Two hundred seeded schedules of faults; twenty of them run always, the others with ``-m slow``."""

from __future__ import annotations

import pytest

from tests.faults import schedules

SCHEDULES = 200
BLOCKS = [0, *(pytest.param(block, marks=pytest.mark.slow) for block in range(1, 10))]


@pytest.mark.parametrize("block", BLOCKS)
def test_every_schedule_of_faults_ends_clearly_and_the_next_run_completes(block, tmp_path):
    seeds = range(block * SCHEDULES // 10, (block + 1) * SCHEDULES // 10)
    codes = schedules.endings(seeds, schedules.blank(tmp_path / "blank"), tmp_path)
    assert {0, 6} <= set(codes)  # the schedules are neither all harmless nor all fatal
