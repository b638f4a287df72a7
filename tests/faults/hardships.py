"""Cycles on machines that lack something, and before hosts that send something else: they end as on a calm night."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.faults.fork_server import ForkServer
from tests.faults.scenes import Remote, Trial
from tests.faults.sweeps import Point
from tests.support.hashes import hashes
from tests.support.scenes import Photos
from tests.support.superannotate_server import Fault

SETTINGS = ("train.epochs=1", "train.batch_size=2", "train.workers=8", "score.workers=8", "score.batch_size=2",
            "model.input_size=64", "train.validation=0", "report.enabled=false")  # fmt: skip
MADE = ("model.safetensors", "scores.csv", "priorities.csv")
NOTHING: Mapping[str, str] = {}
SECONDS = 300
FEW_FILES = ("sh", "-c", 'ulimit -n 24; exec "$@"', "sh")
HOSTS = ("html", "empty", "half", "cutoff", "garbage", "404", "403", "503", "drip")


def other_shm(options: str) -> tuple[str, ...]:
    """The start of a command that sees another /dev/shm."""
    return ("unshare", "-rm", "sh", "-c", f'mount -t tmpfs -o {options} none /dev/shm && exec "$@"', "sh")


def can_mount() -> bool:
    """Whether a namespace of its own may have another /dev/shm."""
    command = [*other_shm("size=1M"), "true"]
    return shutil.which("unshare") is not None and subprocess.run(command, capture_output=True).returncode == 0


@dataclass
class Machine:
    """A workspace before its first cycle, with eight decoding processes, and what a calm night makes of it."""

    place: Path

    @classmethod
    def make(cls, place: Path) -> Machine:
        """Draw the images, make the workspace, and run the calm night in one process."""
        photos = Photos(place / "project").draw(24, annotated=16)
        settings = [word for setting in SETTINGS for word in ("--set", setting)]
        flags = ("--images", photos.images, "--annotations", photos.annotations, "--model", "ssd-tiny", *settings)
        subprocess.run([sys.executable, "-m", "alcli", "init", place / "W", *flags], check=True, capture_output=True)
        machine = cls(place)
        none = ("--set", "train.workers=0", "--set", "score.workers=0")
        code, _, err = machine.ending(machine.start(machine.fresh("calm"), "cycle", *none))
        assert code == 0, err
        return machine

    def fresh(self, name: str) -> Path:
        """One more copy of the workspace, and an empty queue."""
        (self.place / "project/annotations/queue.csv").unlink(missing_ok=True)
        return Path(shutil.copytree(self.place / "W", self.place / name))

    def start(
        self,
        root: Path,
        *arguments: str,
        before: tuple[str, ...] = (),
        environment: Mapping[str, str] = NOTHING,
    ) -> subprocess.Popen[str]:
        """Start a command of alcli."""
        command = [*before, sys.executable, "-m", "alcli", *arguments, "-w", str(root)]
        return subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        )

    def ending(self, process: subprocess.Popen[str]) -> tuple[int, str, str]:
        """Exit code and both outputs."""
        with process:
            out, err = process.communicate(timeout=SECONDS)
        return process.returncode, out, err

    def cycle(self, name: str, before: tuple[str, ...] = (), environment: Mapping[str, str] = NOTHING) -> Point:
        """A whole cycle: what is wrong with it."""
        root = self.fresh(name)
        code, _, err = self.ending(self.start(root, "cycle", before=before, environment=environment))
        wrong = [] if code == 0 and "Traceback" not in err else [f"exit {code}: {err[-300:]}"]
        if not code and made(root) != made(self.place / "calm"):
            wrong.append("the list or the weights differ")
        return Point(name, tuple(wrong))

    def points(self) -> Iterator[Point]:
        """Everything that may be lacking."""
        if can_mount():
            yield self.cycle("64 KiB of shm", other_shm("size=64K"))
            yield self.cycle("read-only shm", other_shm("ro"))
        yield self.cycle("24 open files", FEW_FILES)
        folder = self.place / ("t" * 100)
        folder.mkdir(exist_ok=True)
        yield self.cycle("long TMPDIR", environment={"TMPDIR": str(folder)})


def made(root: Path) -> dict[str, str]:
    """Hashes of what a cycle made."""
    return hashes(root / "cycles/0001" / name for name in MADE)


def bad_hosts(runs: ForkServer, place: Path, kinds: list[str]) -> Iterator[Point]:
    """A first night before a broken host pushes nothing; the second night ends as a calm one."""
    scene = Remote.make(place, runs)
    calm = scene.fresh(place / "calm")
    assert runs.run(calm.order()).code == 0
    expected = _queue(calm)
    calm.close()
    for kind in kinds:
        trial = scene.fresh(place / kind)
        assert trial.server is not None
        trial.server.faults = [Fault(kind, "/photos/", 10**6)]
        first = runs.run(trial.order({"ALCLI_PLATFORM_DEADLINE": "3"}))
        wrong = [] if first.code == 6 else [f"exit {first.code}: {first.stderr[-300:]}"]
        wrong += [] if not trial.server.queue() else ["something was pushed"]
        trial.server.faults = []
        second = runs.run(trial.order())
        wrong += [] if second.code == 0 else [f"the next night: exit {second.code}: {second.stderr[-300:]}"]
        wrong += [] if _queue(trial) == expected else ["the queue differs from a calm night's"]
        trial.close()
        yield Point(f"images: {kind}", tuple(wrong))


def _queue(trial: Trial) -> list[str]:
    assert trial.server is not None
    return trial.server.queue()
