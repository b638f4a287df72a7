"""What happens to alcli when it is killed, refused, told to stop, run twice at once, lied to, or left alone for a year.

Real cycles on small projects, with the folder platform and with local servers that speak the protocols of SuperAnnotate
and Label Studio, are disturbed where it hurts, run again with the same command, and compared, byte for byte, with
undisturbed ones. Needs a C compiler (a library that counts and refuses system calls is built and preloaded), and one
core for two hours; ``--share 0.05`` takes a seeded twentieth of everything. Prints a line for each figure, and before
it each instant at which something was wrong. Of the last two parts what counts is that nothing happened: no traceback,
no file outside the workspace, no code executed, no flipped bit unnoticed.
"""

from __future__ import annotations

import argparse
import math
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent.parent))

from tests.faults import hardships, overlaps, resumes, schedules, soak
from tests.faults.fork_server import TORN, ForkServer
from tests.faults.scenes import SCENES, Folder, Remote
from tests.faults.sweeps import Point, Sweep
from tests.fuzz import counts

RANDOM_INSTANTS = 500
SIGNALS = {"SIGTERM": 15, "SIGINT": 2}
SIGNALLED = 100
STEPS = 200
SCHEDULES = 1000
NIGHTS = 300
FUZZED = 20_000
FLIPPED_BITS = 1000
DRIFT = 0.05


class Run:
    """One run of this benchmark.

    Attributes:
        failed: whether anything was wrong.
    """

    def __init__(self, scratch: Path, runs: ForkServer, share: float, seed: int) -> None:
        self.scratch, self.runs, self.share, self.seed = scratch, runs, share, seed
        self.failed = False
        self._sweeps: dict[str, Sweep] = {}

    def some(self, everything: Iterable[int]) -> list[int]:
        """A seeded share of them, at least one."""
        rows = list(everything)
        count = max(math.ceil(self.share * len(rows)), 1)
        return sorted(random.Random(self.seed).sample(rows, count)) if rows else []

    def sweep(self, kind: type[Folder | Remote]) -> Sweep:
        """The sweep of a platform, made once."""
        if kind.__name__ not in self._sweeps:
            place = self.folder(kind.__name__.lower())
            self._sweeps[kind.__name__] = Sweep(kind.make(place, self.runs), self.runs, place)
        return self._sweeps[kind.__name__]

    def folder(self, name: str) -> Path:
        """A new folder."""
        place = self.scratch / name
        place.mkdir()
        return place

    def tell(self, figure: str, points: Iterable[Point]) -> None:
        """Print a figure's line, and before it what was wrong."""
        started, count, wrong = time.monotonic(), 0, 0
        for point in points:
            count += 1
            if point.wrong:
                wrong += 1
                print(f"    {point.what}: {'; '.join(point.wrong)}", flush=True)
        self.failed |= wrong > 0
        print(f"{figure}: {count - wrong} of {count} as undisturbed ({time.monotonic() - started:.0f} s)", flush=True)

    def harm(self, figure: str, tried: int, harmed: int) -> None:
        """Print the line of a figure that is counted elsewhere."""
        self.failed |= harmed > 0
        print(f"{figure}: {harmed} of {tried}", flush=True)


def kills(run: Run) -> None:
    """SIGKILL before every state-changing call, within every write, and at random instants."""
    for kind in SCENES:
        sweep = run.sweep(kind)
        name = f"{kind.__name__.lower()} cycle of {len(sweep.calls)} state-changing calls"
        run.tell(f"{name}: killed before a call", sweep.kills(run.some(range(1, len(sweep.calls) + 1))))
        writes = [place for place, letter in enumerate(sweep.calls, 1) if letter == "w"]
        run.tell(f"{name}: killed within a write", sweep.kills(run.some(writes), TORN))
        count = len(run.some(range(RANDOM_INSTANTS // 2)))
        run.tell(f"{name}: killed at random", sweep.random_kills(count, run.seed, sweep.seconds))


def signals(run: Run) -> None:
    """SIGTERM and SIGINT at random instants."""
    sweep = run.sweep(Folder)
    count = len(run.some(range(SIGNALLED)))
    for name, number in SIGNALS.items():
        run.tell(f"{name} at random", sweep.random_kills(count, run.seed, sweep.seconds, number))


def refusals(run: Run) -> None:
    """ENOSPC and EIO from every call on a file, once and from then on."""
    for kind in SCENES:
        sweep = run.sweep(kind)
        calls = [place for place, letter in enumerate(sweep.calls, 1) if letter != "n"]
        for error in ("ENOSPC", "EIO"):
            for lasting in (False, True):
                how = "from then on" if lasting else "once"
                figure = f"{kind.__name__.lower()} cycle: {error} {how}"
                run.tell(figure, sweep.errors(run.some(calls), error, lasting))


def steps(run: Run) -> None:
    """A training stopped after each of its steps."""
    count = len(run.some(range(STEPS)))
    run.tell("training stopped after every step", resumes.stopped_at_every_step(run.folder("steps"), count))


def overlapping(run: Run) -> None:
    """Two and eight runs at once."""
    scene = run.sweep(Folder).scene
    assert isinstance(scene, Folder)
    place = run.folder("overlaps")
    for processes, rounds in ((2, 200), (8, 25)):
        numbers = run.some(range(rounds))
        points = (overlaps.overlap(scene, run.runs, place / f"{processes}-{n}", processes, 1.0) for n in numbers)
        run.tell(f"{processes} runs at once", points)


def platform(run: Run) -> None:
    """Seeded schedules of what a service does wrong."""
    place = run.folder("schedules")
    start = schedules.blank(place / "blank")

    def points() -> Iterator[Point]:
        for seed in run.some(range(SCHEDULES)):
            try:
                schedules.endings([seed], start, place)
                yield Point(f"schedule {seed}", ())
            except AssertionError as error:
                yield Point(f"schedule {seed}", (str(error),))

    run.tell("schedules of platform faults", points())


def hosts(run: Run) -> None:
    """Hosts of images that send pages, nothing, half, a byte now and then, or refuse."""
    kinds = [hardships.HOSTS[number] for number in run.some(range(len(hardships.HOSTS)))]
    run.tell("nights before broken hosts", hardships.bad_hosts(run.runs, run.folder("hosts"), kinds))


def machines(run: Run) -> None:
    """A small or read-only /dev/shm, 24 open files, a long TMPDIR."""
    machine = hardships.Machine.make(run.folder("machines"))
    run.tell("cycles on small machines", machine.points())


def sources(run: Run) -> None:
    """Annotations that are gone, halved, emptied or cut for a night."""
    kinds = [hardships.SOURCES[number] for number in run.some(range(len(hardships.SOURCES)))]
    run.tell("nights without their labels", hardships.lost_sources(run.runs, run.folder("sources"), kinds))


def clocks(run: Run) -> None:
    """Clocks that jump between nights and within them."""
    everything = [*hardships.CLOCKS, hardships.JUMPING]
    names = [everything[number] for number in run.some(range(len(everything)))]
    run.tell("nights under clocks that jump", hardships.clock_jumps(run.runs, run.folder("clocks"), names))


def nights(run: Run) -> None:
    """A year of cron."""
    place = run.folder("nights")
    scene = soak.project(place, run.runs)
    count = max(int(NIGHTS * run.share), 2)
    calm = soak.soak(scene, place / "calm", count, run.seed, False)
    rough = soak.soak(scene, place / "rough", count, run.seed, True)
    wrong = [] if calm.outcome == rough.outcome else ["the lists differ from those of calm nights"]
    growth = rough.memory[1] / rough.memory[0] - 1
    if growth > DRIFT or rough.files[1] > rough.files[0]:
        wrong.append(f"memory grew by {growth:+.1%}, descriptors from {rough.files[0]} to {rough.files[1]}")
    what = f"{count} nights, {len(rough.outcome) - 1} cycles, {rough.struck} refused calls, first tries {rough.codes}"
    print(f"    {what}; memory {rough.memory[0]:.0f} → {rough.memory[1]:.0f} MiB, descriptors {rough.files}")
    run.tell("nights", [Point(what, tuple(wrong))])


def fuzzing(run: Run) -> None:
    """Broken documents and bytes for everything that reads something; `fuzz.py` shows them subject by subject."""
    rows = counts.fuzz(math.ceil(FUZZED * run.share), run.seed, run.folder("fuzz"))
    examples, faults = sum(row.examples for row in rows), sum(row.faults for row in rows)
    slowest = max(row.slowest for row in rows)
    run.harm(f"broken inputs of {len(rows)} readers, the slowest {slowest:.1f} s", examples, faults)


def hostile(run: Run) -> None:
    """Names that lead out of the workspace, files that run code, bits that have flipped."""
    run.harm("hostile names, files written outside", *counts.hostile_names(run.folder("names")))
    run.harm("pickles in every file slot, executed", *counts.pickles(run.folder("pickles")))
    flips = math.ceil(FLIPPED_BITS * run.share)
    run.harm("flipped bits, unnoticed", *counts.bit_flips(flips, run.seed, run.folder("bits")))


PARTS: dict[str, Callable[[Run], None]] = {
    "kills": kills,
    "signals": signals,
    "refusals": refusals,
    "steps": steps,
    "overlapping": overlapping,
    "platform": platform,
    "hosts": hosts,
    "machines": machines,
    "sources": sources,
    "clocks": clocks,
    "nights": nights,
    "fuzzing": fuzzing,
    "hostile": hostile,
}


def main() -> int:
    """Run the parts asked for; exit 1 when anything was wrong."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--parts", nargs="+", default=list(PARTS), choices=PARTS)
    parser.add_argument("--share", type=float, default=1.0, help="of the instants, schedules, rounds and nights")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch, ForkServer(Path(scratch)) as runs:
        run = Run(Path(scratch), runs, arguments.share, arguments.seed)
        for name in arguments.parts:
            PARTS[name](run)
    return int(run.failed)


if __name__ == "__main__":
    sys.exit(main())
