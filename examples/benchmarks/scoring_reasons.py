"""What a list of `auto` with its reasons costs beside one of `learned-loss`: CPU seconds of whole processes.

    python examples/benchmarks/scoring_reasons.py --images 440 --annotated 40 --rounds 3

Both strategies score a copy of one trained workspace in turn: `ssd-mobilenet-v2` at 320 pixels, JPEGs of 640×480, torch
in float32, no decoding processes. It also prints how many images were decoded how often. `auto` compares the pool with
the annotated images, so it looks at these, too. Held-out images are looked at further times by both, to measure the
model with the pool. With `--root` the trained workspace stays for the next call.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from scoring_throughput import draw

STRATEGIES = ("learned-loss", "auto")
SETTINGS = (
    *("train.epochs=1", "train.min_steps=0", "train.workers=0", "score.workers=0"),
    *("model.weights=none", "score.backend=torch", "score.precision=float32"),
)
COUNT = """
import atexit, collections, json
from alcli import images
counts, load = collections.Counter(), images.load
def count(path, *more, **options):
    counts[str(path)] += 1
    return load(path, *more, **options)
images.load = count
atexit.register(lambda: open({mark!r}, "w").write(json.dumps(counts)))
from alcli.__main__ import main
main()
"""


def alcli(mark: Path, *words: object) -> float:
    """CPU seconds of one command."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-c", COUNT.format(mark=str(mark)), *map(str, words)]
    ended = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "ALCLI_OFFLINE": "1"})
    assert ended.returncode == 0, ended.stderr
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def make(root: Path, images: int, annotated: int) -> None:
    """A trained workspace over drawn images."""
    photos, labels = root / "photos", root / "labels"
    photos.mkdir(parents=True)
    labels.mkdir()
    for number, path in enumerate(draw(photos, images)[:annotated]):
        box = "<bndbox><xmin>90</xmin><ymin>80</ymin><xmax>300</xmax><ymax>290</ymax></bndbox>"
        size = "<size><width>640</width><height>480</height></size>"
        text = f"<annotation>{size}<object><name>{'ab'[number % 2]}</name>{box}</object></annotation>"
        (labels / f"{path.stem}.xml").write_text(text)
    flags = [word for setting in SETTINGS for word in ("--set", setting)]
    workspace = root / "W"
    alcli(root / "mark", "init", workspace, "--images", photos, "--annotations", labels,
          "--model", "ssd-mobilenet-v2", *flags)  # fmt: skip
    alcli(root / "mark", "pull", "-w", workspace)
    alcli(root / "mark", "train", "-w", workspace)


def compare(root: Path, rounds: int) -> None:
    """Score in turn; print each run, the medians and their ratio."""
    seconds: dict[str, list[float]] = {name: [] for name in STRATEGIES}
    for _ in range(rounds):
        for name in STRATEGIES:
            copy = root / "C"
            shutil.rmtree(copy, ignore_errors=True)
            shutil.copytree(root / "W", copy)
            seconds[name].append(alcli(root / "mark", "score", "-w", copy, "--strategy", name))
            times = Counter(json.loads((root / "mark").read_text()).values())
            words = ", ".join(f"{count} images {often}×" for often, count in sorted(times.items()))
            print(
                f"{name:13} {seconds[name][-1]:6.2f} CPU s  decoded: {words}  load {os.getloadavg()[0]:.1f}", flush=True
            )
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    ratio = medians["auto"] / medians["learned-loss"]
    print(f"medians {medians['learned-loss']:.2f} and {medians['auto']:.2f} CPU s: {ratio:.3f}")


def main() -> None:
    """Make the workspace if it is not there, and compare."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=440)
    parser.add_argument("--annotated", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--root", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        root = (given.root or Path(temporary, "root")).resolve()
        if not root.exists():
            make(root, given.images, given.annotated)
        compare(root, given.rounds)


if __name__ == "__main__":
    main()
