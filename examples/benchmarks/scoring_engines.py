"""What one scoring pass costs in this process, in shards, and on Ray, and whether the list is the same, byte for byte.

Wall is that of the whole command, start of Python included; CPU is that of all its processes, sampled every 0.2 s.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
from PIL import Image

from alcli.system.hashing import sha256_of

VOC = (
    "<annotation><filename>{name}</filename><size><width>320</width><height>240</height><depth>3</depth></size><object>"
    "<name>thing</name><bndbox><xmin>60</xmin><ymin>60</ymin><xmax>200</xmax><ymax>180</ymax></bndbox></object>"
    "</annotation>"
)
ALCLI = [sys.executable, "-m", "alcli"]
TICKS = os.sysconf("SC_CLK_TCK")


def draw(root: Path, count: int) -> None:
    """Images of smooth colours with texture, sixteen of them annotated."""
    rng = np.random.default_rng(0)
    for name in ("images", "labels"):
        (root / name).mkdir()
    for number in range(count):
        coarse = Image.fromarray(rng.integers(0, 256, (12, 16, 3), dtype=np.uint8))
        smooth = np.asarray(coarse.resize((320, 240), Image.Resampling.BICUBIC), dtype=np.float32)
        pixels = np.clip(smooth + rng.normal(0, 6, smooth.shape), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(root / f"images/{number:05}.jpg", quality=85)
    for number in range(16):
        (root / f"labels/{number:05}.xml").write_text(VOC.format(name=f"{number:05}.jpg"))


def make(root: Path, count: int, model: str) -> Path:
    """A workspace that has been trained and not scored."""
    draw(root, count)
    settings = ("train.epochs=1", "train.min_steps=0", "score.workers=0", "score.shard=100", "strategy.name=margin")
    flags = [part for setting in settings for part in ("--set", setting)]
    call = [*ALCLI, "init", root / "W", "--images", root / "images", "--annotations", root / "labels"]
    subprocess.run([*call, "--model", model, *flags, "-q"], check=True)
    for step in ("pull", "train"):
        subprocess.run([*ALCLI, step, "-w", root / "W", "-q"], check=True)
    return root / "W"


class Meter:
    """The CPU seconds of the descendants of this process."""

    def __init__(self) -> None:
        self._seen: dict[int, float] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Meter:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join()

    @property
    def seconds(self) -> float:
        """So far."""
        return sum(self._seen.values())

    def _watch(self) -> None:
        while not self._stop.wait(0.2):
            parents: dict[int, int] = {}
            used: dict[int, float] = {}
            for folder in Path("/proc").iterdir():
                try:
                    fields = (folder / "stat").read_text().rpartition(")")[2].split()
                    parents[int(folder.name)] = int(fields[1])
                    used[int(folder.name)] = (int(fields[11]) + int(fields[12])) / TICKS
                except (OSError, ValueError):
                    continue
            for pid, seconds in used.items():
                parent = parents[pid]
                while parent in parents and parent != os.getpid():
                    parent = parents[parent]
                if parent == os.getpid():
                    self._seen[pid] = seconds


def measure(workspace: Path, commands: list[list[str]], together: bool) -> tuple[float, float, str]:
    """(wall, CPU, hash of the list) of these commands on a copy of the workspace; ``together``: all but the last."""
    copy = workspace.parent / "copy"
    shutil.copytree(workspace, copy)
    calls = [[*ALCLI, "score", "-w", str(copy), "-q", *command] for command in commands]
    with Meter() as meter:
        start = time.perf_counter()
        running = [subprocess.Popen(call) for call in (calls[:-1] if together else [])]
        assert not any(process.wait() for process in running)
        for call in calls[-1:] if together else calls:
            subprocess.run(call, check=True)
        wall = time.perf_counter() - start
    found = sha256_of(copy / "cycles/0001/scores.csv")
    shutil.rmtree(copy)
    return wall, meter.seconds, found


def main() -> None:
    """Print one line for each way."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--model", default="ssd-tiny")
    parser.add_argument("--only", default="", help="in addition to plain, only ways with this in their name")
    arguments = parser.parse_args()
    ways = {
        "plain": ([[]], False),
        "2 shards at once, merged": ([["--shard", "1/2"], ["--shard", "2/2"], ["--merge"]], True),
        "engine = shards, 2 processes": ([["--set", "score.engine=shards", "--set", "score.processes=2"]], False),
        "engine = ray, 2 workers": ([["--set", "score.engine=ray", "--set", "score.processes=2"]], False),
    }
    with tempfile.TemporaryDirectory() as folder:
        workspace = make(Path(folder), arguments.images, arguments.model)
        first = ""
        print("| way | wall s | CPU s | list |\n|---|---|---|---|")
        for name, (commands, together) in ways.items():
            if name != "plain" and arguments.only not in name:
                continue
            wall, cpu, found = measure(workspace, commands, together)
            first = first or found
            print(f"| {name} | {wall:.1f} | {cpu:.1f} | {'the same' if found == first else 'ANOTHER'} |", flush=True)


if __name__ == "__main__":
    main()
