"""`alcli.rank` beside scikit-activeml's core-set on the same arrays, one after the other on one core.

scikit-activeml has an environment of its own: `python3 -m venv V && V/bin/pip install scikit-activeml`, then
`OMP_NUM_THREADS=1 python examples/benchmarks/rank_speed.py --other V/bin/python`. Each runs in a process of its own, so
that the peaks of memory are its own; times are of the call alone. The goal is at most a twentieth of the other's time.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time

import numpy as np

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--other", required=True, help="Python of the environment with scikit-activeml")
parser.add_argument("--images", type=int, default=100_000)
parser.add_argument("--width", type=int, default=384)
parser.add_argument("--labeled", type=int, default=1000)
parser.add_argument("--budget", type=int, default=1000)
parser.add_argument("--side", choices=["alcli", "other"], help="run only this side, in this process")
given = parser.parse_args()
CLASSES = 10


def data() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Embeddings (n, width) float32 in clusters, probabilities (n, 10), and labels (n,), NaN for the pool."""
    rng = np.random.default_rng(7)
    centers = rng.normal(size=(200, given.width)).astype(np.float32)
    cluster = rng.integers(0, 200, given.images)
    embeddings = centers[cluster] + rng.normal(size=(given.images, given.width)).astype(np.float32)
    labels = np.full(given.images, np.nan)
    labels[: given.labeled] = cluster[: given.labeled] % CLASSES
    return embeddings, rng.dirichlet(np.full(CLASSES, 0.3), given.images), labels


def rank_with_alcli() -> list[int]:
    """The first rows of the list."""
    # Imports are not measured, of neither side: pandas is what `rank` imports when it is called.
    import pandas as pd  # noqa: F401

    from alcli import rank

    embeddings, probabilities, labels = data()
    names = [f"{number:07d}" for number in range(given.images)]
    labeled = [names[row] for row in np.flatnonzero(~np.isnan(labels))]
    with measured():
        table = rank(
            names=names,
            embeddings=embeddings,
            probabilities=probabilities,
            labeled=labeled,
            budget=given.budget,
            strategy="core-set",
        )
    return [int(name) for name in table["name"].head(given.budget)]


def query_the_other() -> list[int]:
    """The batch of scikit-activeml."""
    from skactiveml.pool import CoreSet

    embeddings, _, labels = data()
    with measured():
        rows = CoreSet(random_state=0).query(X=embeddings, y=labels, batch_size=given.budget)
    return [int(row) for row in rows]


class measured:  # noqa: N801
    """Keep wall and processor time of the block."""

    wall = processor = 0.0

    def __enter__(self) -> None:
        self.start = time.perf_counter(), time.process_time()

    def __exit__(self, *error: object) -> None:
        measured.wall, measured.processor = time.perf_counter() - self.start[0], time.process_time() - self.start[1]


if given.side:
    picks = rank_with_alcli() if given.side == "alcli" else query_the_other()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(json.dumps({"wall": measured.wall, "processor": measured.processor, "peak": peak, "picks": picks}))
    sys.exit()

results = {}
for side, python in (("alcli", sys.executable), ("other", given.other)):
    command = [python, *sys.argv, "--side", side]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{side} failed: {done.stderr[-2000:]}")
    results[side] = json.loads(done.stdout.splitlines()[-1])
    one = results[side]
    print(
        f"{side:6} wall {one['wall']:7.1f} s  processor {one['processor']:7.1f} s  peak {one['peak']:.2f} GB",
        flush=True,
    )
ours, theirs = results["alcli"], results["other"]
same = len(set(ours["picks"]) & set(theirs["picks"]))
print(
    f"processor time 1/{theirs['processor'] / ours['processor']:.1f}, wall 1/{theirs['wall'] / ours['wall']:.1f};"
    f" {same} of {given.budget} picks are the same"
)
