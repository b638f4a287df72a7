"""How fast batches are chosen: ratios to other packages and to plain loops, side by side, on one thread.

    OMP_NUM_THREADS=1 python examples/benchmarks/selection_speed.py [k-center] [badge] [million] [top-k]

Peers are measured where they are installed: ``pip install scikit-activeml alipy``. With ``--scale 0.2`` pool and budget
of the first two are reduced; the full size takes scikit-activeml's Badge several minutes and 3 GB.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from alcli.signals import Signals
from alcli.strategies.badge import Badge
from alcli.vectors import kcenter
from alcli.vectors.kmeans import Products
from alcli.vectors.ranking import top_k
from alcli.vectors.rows import Rows

LABELED, WIDTH, CLASSES = 500, 256, 10


def timed(work: Callable[[], np.ndarray], runs: int = 1) -> tuple[float, np.ndarray]:
    """(least seconds of some runs, result)."""
    seconds = []
    for _ in range(runs):
        start = time.perf_counter()
        result = work()
        seconds.append(time.perf_counter() - start)
    return min(seconds), result


def data(count: int) -> tuple[np.ndarray, np.ndarray]:
    """((count + labeled, width) float32 in overlapping groups, one for each class; classes)."""
    rng = np.random.default_rng(0)
    groups = rng.integers(0, CLASSES, count + LABELED)
    middles = 0.25 * rng.standard_normal((CLASSES, WIDTH))
    return (rng.standard_normal((len(groups), WIDTH)) + middles[groups]).astype(np.float32), groups


def plain_loop(pool: np.ndarray, centers: np.ndarray, budget: int) -> np.ndarray:
    """k-center greedy as it is usually written: one float32 matrix–vector product for each center and each pick."""
    norms = np.einsum("ij,ij->i", pool, pool)
    squared = np.full(len(pool), np.inf, np.float32)
    for center in centers:
        np.minimum(squared, norms - 2 * (pool @ center) + center @ center, out=squared)
    picks = []
    for _ in range(budget):
        picks.append(int(squared.argmax()))
        center = pool[picks[-1]]
        np.minimum(squared, norms - 2 * (pool @ center) + center @ center, out=squared)
    return np.array(picks)


def line(name: str, seconds: float, ours: float, goal: str = "") -> None:
    """Print one row."""
    print(f"{name:34} {seconds:9.3f} s {seconds / ours:8.1f} ×{goal}", flush=True)


def k_center(scale: float) -> None:
    """Time k-center greedy and insist on identical picks."""
    count, budget = int(50_000 * scale), int(300 * scale)
    vectors, groups = data(count)
    known, pool = vectors[:LABELED], vectors[LABELED:]
    print(f"k-center: {count:,} × {WIDTH}, {LABELED} labeled, budget {budget}")
    ours, picks = timed(lambda: kcenter.greedy(pool, budget, known).picks, 3)
    line("alcli", ours, ours)
    seconds, found = timed(lambda: plain_loop(pool, known, budget), 3)
    assert (found == picks).all(), "the plain loop picked others"
    line("plain matrix–vector loop", seconds, ours, " (goal ≥ 5)")
    try:
        from skactiveml.pool import CoreSet
    except ImportError:
        print("scikit-activeml is not installed")
    else:
        labels = np.where(np.arange(len(vectors)) < LABELED, groups, np.nan)
        query = CoreSet(random_state=0).query
        seconds, found = timed(lambda: query(vectors, labels, batch_size=budget) - LABELED)
        assert (found == picks).all(), "scikit-activeml picked others"
        line("scikit-activeml CoreSet", seconds, ours, " (goal ≥ 50)")
    try:
        from alipy.query_strategy import QueryInstanceCoresetGreedy
    except ImportError:
        print("ALiPy is not installed")
    else:
        strategy = QueryInstanceCoresetGreedy(vectors, groups, np.arange(len(vectors)))
        rows = np.arange(LABELED), np.arange(LABELED, len(vectors))
        seconds, found = timed(lambda: np.array(strategy.select(*rows, batch_size=budget)) - LABELED)
        assert (found == picks).all(), "ALiPy picked others"
        line("ALiPy QueryInstanceCoresetGreedy", seconds, ours, " (goal ≥ 50)")
    print("all picks are identical")


def badge(scale: float) -> None:
    """Time BADGE, from vectors and a fitted classifier to rows."""
    from sklearn.linear_model import LogisticRegression

    count, budget = int(50_000 * scale), int(300 * scale)
    vectors, groups = data(count)
    known, pool = vectors[:LABELED], vectors[LABELED:]
    plain = LogisticRegression(max_iter=1000).fit(known, groups[:LABELED])
    ids = [f"{row:06}" for row in range(count)]

    def choose() -> np.ndarray:
        found = {"embedding": pool, "class_scores": plain.predict_proba(pool)}
        return top_k(Badge().score(Signals(ids, found), budget, np.random.default_rng(0)), budget)

    print(f"BADGE: {count:,} × {WIDTH}, {CLASSES} classes, budget {budget}")
    ours, picks = timed(choose, 3)
    line("alcli", ours, ours)
    probabilities = plain.predict_proba(pool)
    print(f"    left uncovered: {uncovered(probabilities, pool, picks):.4g}")
    try:
        from skactiveml.classifier import SklearnClassifier
        from skactiveml.pool import Badge as Peer
    except ImportError:
        print("scikit-activeml is not installed")
        return
    labels = np.where(np.arange(len(vectors)) < LABELED, groups, np.nan)
    fitted = SklearnClassifier(LogisticRegression(max_iter=1000), classes=range(CLASSES)).fit(vectors, labels)
    peer = Peer(random_state=0)
    seconds, found = timed(lambda: np.array(peer.query(vectors, labels, fitted, fit_clf=False, batch_size=budget)))
    line("scikit-activeml Badge", seconds, ours, " (goal ≥ 100)")
    print(f"    left uncovered: {uncovered(probabilities, pool, found - LABELED):.4g}")
    print(f"    first picks are {'the same' if found[0] - LABELED == picks[0] else 'not the same'}")


def uncovered(probabilities: np.ndarray, vectors: np.ndarray, picks: np.ndarray) -> float:
    """Sum of squared distances of all gradients to the nearest picked one: what k-means++ keeps small."""
    errors = probabilities - np.eye(CLASSES)[probabilities.argmax(axis=1)]
    gradients = Products(Rows(errors, np.float64), Rows(vectors, np.float64))
    return sum(
        float(gradients.between(slice(start, start + 2048), picks).min(axis=1).sum())
        for start in range(0, len(vectors), 2048)
    )


def million() -> None:
    """Time k-center on a memory map of 1,000,000 × 128, in a process of its own so that its memory can be told."""
    with tempfile.TemporaryDirectory() as folder:
        path, rng = Path(folder) / "embedding.npy", np.random.default_rng(0)
        mapped = np.lib.format.open_memmap(path, "w+", np.float16, (1_000_000 + LABELED, 128))
        for start in range(0, len(mapped), 10_000):
            block = mapped[start : start + 10_000]
            block[:] = rng.standard_normal(block.shape)
        mapped.flush()
        subprocess.run([sys.executable, __file__, "--mapped", path], check=True)


def mapped_cover(path: Path) -> None:
    """Choose 1,000 of the rows in a file and print seconds and peak memory."""
    vectors = np.load(path, mmap_mode="r")
    seconds, picks = timed(lambda: kcenter.greedy(vectors[LABELED:], 1000, np.array(vectors[:LABELED])).picks)
    peak = peak_memory() / 2**30
    print(f"k-center: {len(vectors) - LABELED:,} × 128 memory-mapped float16, {LABELED} labeled, budget {len(picks)}")
    print(f"alcli {seconds:.1f} s, peak memory {peak:.2f} GiB with the map's pages (goal < 2)")


def peak_memory() -> int:
    """Bytes this process has held at most. (Linux's getrusage also counts what the parent held before the start.)"""
    status = Path("/proc/self/status")
    if status.exists():
        return 1024 * int(status.read_text().split("VmHWM:")[1].split()[0])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def largest() -> None:
    """Time the thousand best of a million scores."""
    scores = np.random.default_rng(0).standard_normal(1_000_000)
    for name, values in (("distinct", scores), ("two digits", scores.round(2)), ("all equal", np.zeros(len(scores)))):
        seconds, rows = timed(lambda values=values: top_k(values, 1000), 5)
        assert (rows == np.argsort(-values, kind="stable")[:1000]).all()
        print(f"top-k: 1,000 of 1,000,000 scores, {name}: {1000 * seconds:.1f} ms (goal < 50)")


def main() -> None:
    """Run what was asked for, or all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help="k-center, badge, million, top-k")
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--mapped", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.mapped:
        mapped_cover(options.mapped)
        return
    work = {
        "k-center": lambda: k_center(options.scale),
        "badge": lambda: badge(options.scale),
        "million": million,
        "top-k": largest,
    }
    for part in options.parts or work:
        work[part]()


if __name__ == "__main__":
    main()
