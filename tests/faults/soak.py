"""Three hundred nights of a cron job in one process, so that what grows can be seen."""

from __future__ import annotations

import errno
import json
import os
import random
import shutil
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import asdict, dataclass
from io import StringIO
from pathlib import Path
from typing import Any

from tests.faults.fork_server import COUNT, FAIL, PROJECT, ForkServer, plan_of_this_process, preloaded
from tests.faults.scenes import Folder
from tests.support.hashes import hashes
from tests.support.scenes import Photos

IMAGES = 70
ANNOTATED_NIGHTS = 0.2
FAULTY_NIGHTS = 0.05
SETTLED = 60
"""The night after which nothing may grow any more but what the project itself grows by."""


@dataclass(frozen=True)
class Soaked:
    """What came of the nights.

    Attributes:
        outcome: hash by name of every cycle's list and of the queue.
        struck: nights on which a call was refused. codes: exit codes of first tries, and how often.
        memory: resident MiB when settled and at the end. files: open descriptors then.
    """

    outcome: dict[str, str]
    struck: int
    codes: dict[str, int]
    memory: tuple[float, float]
    files: tuple[int, int]


def soak(scene: Folder, place: Path, nights: int, seed: int, faults: bool) -> Soaked:
    """Let a process of its own live through the nights, of which some are refused one of their calls."""
    shutil.copytree(scene.blank, place)
    arguments = [str(place), str(nights), str(seed), str(int(faults))]
    command = [sys.executable, "-W", "ignore", "-m", "tests.faults.soak", *arguments]
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=PROJECT, env=preloaded(scene.blank.parent.parent), check=False
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    return Soaked(**{**found, "memory": tuple(found["memory"]), "files": tuple(found["files"])})


def _live(place: Path, nights: int, seed: int, faults: bool) -> Soaked:
    plan = plan_of_this_process()
    days, chance = random.Random(seed), random.Random(seed + 1)
    photos = Photos(place / "project")
    open_ones = [number for number in range(IMAGES) if not photos.xml(number).exists()]
    struck, codes, sizes = 0, {}, []
    # A night with nothing new makes far fewer calls: a refused one has to be among those that are made.
    most = {True: 200, False: 10}
    for _ in range(nights):
        new = bool(open_ones) and days.random() < ANNOTATED_NIGHTS
        if new:
            photos.annotate(open_ones.pop(days.randrange(len(open_ones))))
        if faults and chance.random() < FAULTY_NIGHTS:
            plan.chosen, plan.action = chance.randint(1, most[new]), FAIL
            plan.error = chance.choice((errno.ENOSPC, errno.EIO))
        code = _night(place / "W", plan)
        struck += int(plan.struck)
        codes[str(code)] = codes.get(str(code), 0) + 1
        if plan.action == COUNT:
            most[new] = plan.calls
        plan.action = COUNT
        if code != 0:
            assert _night(place / "W", plan) == 0
        sizes.append((_memory(), len(list(Path("/proc/self/fd").iterdir()))))
    memory, files = zip(sizes[min(SETTLED, nights - 1)], sizes[-1], strict=True)
    lists = sorted(place.glob("W/cycles/*/priorities.csv"))
    outcome = {path.parent.name: hashes([path])[path.name] for path in lists}
    return Soaked(outcome | hashes([place / "W/queue.csv"]), struck, codes, memory, files)


def _night(root: Path, plan: Any) -> int:
    from alcli import cli

    plan.calls = plan.struck = 0
    plan.armed = os.getpid()
    with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
        code = cli.run(["cycle", "-w", str(root), "-q"])
    plan.armed = 0
    return code


def _memory() -> float:
    """Resident MiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def project(base: Path, runs: ForkServer) -> Folder:
    """A project with enough images for all nights."""
    return Folder.make(base, runs, IMAGES, 10)


if __name__ == "__main__":
    where, count, start, disturbed = sys.argv[1:]
    found = _live(Path(where), int(count), int(start), disturbed == "1")
    print(json.dumps(asdict(found)))
