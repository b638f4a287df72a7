"""Several runs of one workspace at the same time: one works, the others say at once who does."""

from __future__ import annotations

import math
from pathlib import Path

from tests.faults.fork_server import ForkServer
from tests.faults.scenes import Folder
from tests.faults.sweeps import Point


def overlap(scene: Folder, runs: ForkServer, place: Path, processes: int, longest: float = math.inf) -> Point:
    """Start so many cycles at once.

    Args:
        longest: seconds after which a run must have said that another one works.
    """
    trial = scene.fresh(place)
    ends = runs.together([trial.order()] * processes)
    codes = sorted(ended.code for ended in ends)
    wrong = [] if codes == [0] + [11] * (processes - 1) else [f"exit codes {codes}"]
    losers = [ended for ended in ends if ended.code == 11]
    slowest = max((ended.seconds for ended in losers), default=0.0)
    if slowest >= longest:
        wrong.append(f"a loser took {slowest:.2f} s")
    if any("Another run holds this workspace: pid " not in ended.stderr for ended in losers):
        wrong.append("a loser does not name the winner")
    again = runs.run(trial.order())
    if '"nothing_new": true' not in again.stdout:
        wrong.append(f"the next run finds something to do: exit {again.code}")
    trial.close()
    return Point(f"{processes} runs at once, slowest loser {slowest:.2f} s", tuple(wrong))
