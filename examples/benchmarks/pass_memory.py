"""Memory of a scoring pass by the number of images: what grows with a pool, without the network's own memory.

`python examples/benchmarks/pass_memory.py WORKSPACE --counts 10000 100000 1000000` runs the pass over the first images
of a workspace that has pulled that many, each count in a process of its own. A stub stands for the network: it decodes
nothing and answers a number and 64 features for every image, so that a million take seconds. `pool` is the memory with
the items read, before the pass; `peak` is that of the whole pass, with its files written, read again and joined.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

NAMES = frozenset({"embedding", "entropy"})
SHARD = 1000


class Stub:
    """Answers like a network, as fast as memory can be filled."""

    signal_names = NAMES
    computed_by = "stub"

    def __init__(self, record: Any) -> None:
        self.record = record

    def needs_images(self, names: frozenset[str]) -> bool:
        """As a network does: the paths of the images are looked up."""
        return True

    def signals(self, examples: Sequence[Any], names: frozenset[str], advance: Any) -> Iterator[Any]:
        """Yield a part for every shard."""
        from alcli.signals import Signals

        for start in range(0, len(examples), SHARD):
            ids = [example.item.id for example in examples[start : start + SHARD]]
            arrays = {"entropy": np.zeros(len(ids)), "embedding": np.zeros((len(ids), 64), np.float32)}
            yield Signals(ids, arrays), []
            advance(len(ids))


def resident(peak: bool = False) -> float:
    """Memory of this process in MB."""
    if peak:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def measure(workspace: Path, count: int) -> dict[str, float]:
    """Run one pass in this process."""
    import alcli.tasks  # noqa: F401 (what a pass imports anyway must not count)
    from alcli.artifacts.scoring_pass import ScorePlan, ScoringPass
    from alcli.context import Context
    from alcli.system.progress import Silent
    from alcli.workspace import Workspace
    from alcli.workspace.records import StepRecord, Training

    opened = Workspace.open(workspace, read_only=True)
    config = opened.configuration()
    config = config.model_copy(update={"score": config.score.model_copy(update={"shard": SHARD})})
    items = []
    for item in opened.store.pool().items.values():
        items.append(item)
        if len(items) == count:
            break
    with tempfile.TemporaryDirectory() as temporary:
        opened.cycle_folder = lambda number: Path(temporary)  # type: ignore[method-assign]
        predictor: Any = Stub(StepRecord(1, "", None, None, Training(), ""))
        before = resident()
        plan = ScorePlan(items, NAMES)
        signals, _ = ScoringPass(Context(opened, config, Silent()), 1, predictor).run(plan)
        assert len(signals.item_ids) == len(items)
        return {"images": len(items), "pool": before, "peak": resident(peak=True)}


def main() -> None:
    """Print a line for each count."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--counts", type=int, nargs="+", default=[10_000, 50_000])
    parser.add_argument("--here", action="store_true", help="measure the one count in this process")
    given = parser.parse_args()
    if given.here:
        print(json.dumps(measure(given.workspace, given.counts[0])))
        return
    for count in given.counts:
        call = [sys.executable, __file__, str(given.workspace), "--counts", str(count), "--here"]
        result = json.loads(subprocess.run(call, check=True, capture_output=True, text=True).stdout)
        grown = result["peak"] - result["pool"]
        print(
            f"{result['images']:9,} images: pool {result['pool']:.0f} MB, peak {result['peak']:.0f} MB, {grown:+.0f} MB"
        )


if __name__ == "__main__":
    main()
