"""Cycles on machines that lack something, and before hosts that send something else: they end as on a calm night."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.faults.fork_server import ForkServer, Order
from tests.faults.scenes import OUTCOME, Folder, SuperAnnotate, Trial
from tests.faults.sweeps import Point
from tests.support.hashes import hashes
from tests.support.scenes import Photos
from tests.support.superannotate_server import Fault

SETTINGS = ("train.epochs=1", "train.min_steps=0", "train.batch_size=2", "train.workers=8", "score.workers=8",
            "score.batch_size=2", "model.input_size=64", "train.validation=0", "report.enabled=false")  # fmt: skip
MADE = ("model.safetensors", "scores.csv", "priorities.csv")
NOTHING: Mapping[str, str] = {}
SECONDS = 300
FEW_FILES = ("sh", "-c", 'ulimit -n 24; exec "$@"', "sh")
HOSTS = ("html", "empty", "half", "cutoff", "garbage", "404", "403", "503", "drip")


SOURCES = ("empty", "gone", "halved", "emptied files", "cut files", "a folder gone")
"""What can become of a folder of annotations."""
YEAR = 365 * 86400
CLOCKS: Mapping[str, Sequence[int]] = {
    "a year ahead for a night": (0, YEAR, 0),
    "a year behind for a night": (0, -YEAR, 0),
    "an hour back": (3600, 0, 0),
    "ahead, behind, right": (YEAR, -20 * YEAR, 0),
    "before 1970": (0, -80 * YEAR, 0),
}
"""Seconds by which the clock is wrong in each of three nights."""
JUMPING = "back and forward all the time"
UNKNOWN = "6"
"""What ``health`` exits with when the last run ended in the future."""


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
    scene = SuperAnnotate.make(place, runs)
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


def clock_jumps(runs: ForkServer, place: Path, names: Sequence[str]) -> Iterator[Point]:
    """Three nights with another clock each, also in another zone, make what three calm nights make."""
    scene = Folder.make(place, runs)
    calm = _nights(scene, runs, place / "calm", (0, 0, 0))
    for number, name in enumerate(names):
        skews = CLOCKS.get(name, (YEAR,) * 3)
        zone = {"TZ": ("Pacific/Kiritimati", "America/St_Johns")[number % 2]}
        found = _nights(scene, runs, place / str(number), skews, name == JUMPING, zone)
        if name == JUMPING and found["health"] == UNKNOWN:  # it happened to be ahead when the last night ended
            found["health"] = calm["health"]
        wrong = [f"{key}: {found.get(key)} instead of {calm[key]}" for key in calm if found.get(key) != calm[key]]
        yield Point(f"a clock that goes {name}", tuple(wrong))


def _nights(
    scene: Folder,
    runs: ForkServer,
    place: Path,
    skews: Sequence[int],
    jumping: bool = False,
    environment: Mapping[str, str] = NOTHING,
) -> dict[str, str]:
    """Hash by name of what each night made; how it ended, and what a monitor says in the end."""
    trial = scene.fresh(place)
    photos, found = Photos(place / "project"), {}
    for night, skew in enumerate(skews, 1):
        ended = runs.run(trial.order(environment, skew=skew, jumping=jumping))
        found[f"exit of night {night}"] = f"{ended.code} {ended.stderr[-300:] if ended.code else ''}"
        folder = trial.root / f"cycles/{night:04d}"
        for name, value in hashes(folder / name for name in OUTCOME).items():
            found[f"{name} of night {night}"] = value
        found[f"queue of night {night}"] = (trial.root / "queue.csv").read_text()
        if night < len(skews):
            photos.annotate(5 + night)
        copied = runs.run(Order(("backup", "-w", str(trial.root), str(place / f"copy-{night}")), skew=skew))
        found[f"backup of night {night}"] = str(copied.code)
    for command in ("health", "status", "forecast"):
        ended = runs.run(Order((command, "-w", str(trial.root), "--json")))
        found[command] = str(ended.code)
    trial.close()
    return found


def lost_sources(runs: ForkServer, place: Path, kinds: Sequence[str]) -> Iterator[Point]:
    """A night without the labels loses none; when they are back, the next night ends as if they had never been gone."""
    scene = Folder.make(place, runs)
    calm = scene.fresh(place / "calm")
    assert runs.run(calm.order()).code == 0
    expected = calm.outcome()
    calm.close()
    for kind in kinds:
        trial = scene.fresh(place / kind.replace(" ", "-"))
        labels, aside = trial.place / "project/annotations", trial.place / "aside"
        below = labels / "below"
        below.mkdir()
        for path in sorted(labels.glob("*.xml"))[:2]:
            path.rename(below / path.name)
        first = runs.run(trial.order())
        before = trial.outcome()
        shutil.copytree(labels, aside)
        _lose(labels, kind)
        second = runs.run(trial.order())
        wrong = [] if first.code == 0 else [f"exit {first.code}: {first.stderr[-300:]}"]
        wrong += [] if second.code == (6 if kind == "gone" else 5) else [f"without: exit {second.code}"]
        wrong += [] if trial.outcome() == before == expected else ["lists or queue have changed"]
        shutil.rmtree(labels, ignore_errors=True)
        shutil.copytree(aside, labels)
        third = runs.run(trial.order())
        wrong += [] if third.code == 0 else [f"the next night: exit {third.code}: {third.stderr[-300:]}"]
        wrong += [] if trial.outcome() == expected else ["the next night's lists differ"]
        trial.close()
        yield Point(f"annotations: {kind}", tuple(wrong))


def _lose(labels: Path, kind: str) -> None:
    files = sorted(labels.rglob("*.xml"))
    if kind in ("empty", "gone"):
        shutil.rmtree(labels)
        if kind == "empty":
            labels.mkdir()
    elif kind == "a folder gone":
        shutil.rmtree(labels / "below")
    elif kind == "halved":
        for path in files[: len(files) // 2]:
            path.unlink()
    else:
        for path in files:
            path.write_bytes(b"" if kind == "emptied files" else path.read_bytes()[:40])
