"""How far a cycle's metric is from the model's true accuracy on all images that it was not trained on.

Frozen cycles on a classification workspace whose images are all annotated. A share is held out as in production, the
strategy chooses, and the accuracy on the held-out images, plain and weighted to stand for the pool, is compared with
the accuracy on the pool and the held-out images together. The workspace is copied first.

    alcli init clothing --images IMAGES --annotations LABELS.csv --set model.name=mobilenet-v2 …
    python examples/benchmarks/metric_bias.py clothing --seeds 10
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from alcli.annotations import Annotation
from alcli.context import CACHE, Context
from alcli.curves.comparison import estimate, share_interval
from alcli.engine import stratified
from alcli.simulation import replay
from alcli.simulation.features import extract
from alcli.simulation.frozen import FrozenEngine
from alcli.simulation.linear_head import LinearLearner, LinearModel
from alcli.simulation.plan import Arm
from alcli.simulation.runs import Job
from alcli.strategies import make_strategy, needs_labeled
from alcli.system.hashing import sha256_of_text
from alcli.system.progress import Silent
from alcli.workspace import Workspace

HELD_OUT = 0.2


@dataclass(frozen=True)
class Cycle:
    """What is shown and what is true, all in points; each metric with its 90 % interval."""

    number: int
    images: int
    true: float
    plain: tuple[float, float, float]
    weighted: tuple[float, float, float]


class World:
    """A workspace with known answers, and a linear head on frozen features in place of a network."""

    def __init__(self, root: Path, options: argparse.Namespace) -> None:
        workspace = Workspace.open(root)
        context = Context(workspace, workspace.configuration([]), Silent())
        arms, sizes = [Arm(options.strategy)], (options.cycles, options.start, options.budget)
        with workspace.lock():
            simulation = replay.plan(context, replay.Request(arms, 1, *sizes, options.test, frozen=True))
        self.folder, self.plan, labels = simulation.folder, simulation.plan, simulation.labels
        examples = sorted([*labels.pool, *labels.test], key=lambda example: example.item.id)
        features = extract(simulation.config, examples, root / CACHE, Silent())
        self.learner = LinearLearner(simulation.config, labels, features)
        self.engine = FrozenEngine(simulation.config, labels, self.learner)
        self.classes = labels.classes
        self.examples = {example.item.id: example for example in labels.pool}
        self.ids = list(self.examples)

    def cycles(self, strategy: str, seed: int) -> Iterator[Cycle]:
        """The cycles of one seed: train on all annotated images but the held-out ones, measure, ask."""
        job = Job(self.folder, Arm(strategy), seed, self.plan)
        share = HELD_OUT * 16**8
        out = {name for name in self.ids if int(sha256_of_text("side", str(seed), name)[:8], 16) < share}
        strategy = make_strategy(job.arm.strategy, self.learner.config.strategy)
        needs = strategy.needs | needs_labeled(strategy)
        revealed, model = self.plan.start_set(self.ids, seed), None
        for number in range(self.plan.cycles):
            model = self.learner.learn([name for name in revealed if name not in out], needs, seed, model)
            pool = sorted(set(self.ids) - set(revealed))
            yield self._measure(model, number + 1, pool, [name for name in revealed if name in out])
            query = self.engine._query(model, job, number, pool, revealed)
            revealed = revealed + [line.item.id for line in query.rows if line.asked]

    def _measure(self, model: LinearModel, number: int, pool: list[str], held_out: list[str]) -> Cycle:
        margins = [model.signals(names, frozenset({"margin"}))["margin"] for names in (pool, held_out)]
        strata = stratified.make_strata(*(values.astype(np.float64) for values in margins))
        guesses = self._predictions(model, [*pool, *held_out])
        examples = [self.examples[name] for name in held_out]
        task = self.learner.task
        measured = stratified.measure(task, examples, guesses, strata, 0)
        everything = [self.examples[name] for name in (*pool, *held_out)]
        true = task.evaluate(everything, guesses.values())["top1"]
        plain = share_interval(task.evaluate(examples, guesses.values())["top1"], len(examples), 0.9)
        weighted = (measured.metrics["top1"], *measured.interval)
        return Cycle(number, len(held_out), true, (plain.mean, plain.low, plain.high), weighted)

    def _predictions(self, model: LinearModel, names: list[str]) -> dict[str, Annotation]:
        best = model.head.probabilities(self.learner.features.rows(names)).argmax(axis=1).tolist()
        return {
            name: Annotation(name, labels=(self.classes[index],), label_scores=(1.0,))
            for name, index in zip(names, best, strict=True)
        }


def line(name: str, cycles: list[Cycle]) -> str:
    """Means over the seeds for both metrics."""
    parts = []
    for kind in ("plain", "weighted"):
        errors = np.array([getattr(cycle, kind)[0] - cycle.true for cycle in cycles]) * 100
        held = np.mean([getattr(cycle, kind)[1] <= cycle.true <= getattr(cycle, kind)[2] for cycle in cycles]) * 100
        width = np.mean([getattr(cycle, kind)[2] - getattr(cycle, kind)[1] for cycle in cycles]) * 100
        parts.append(f"{errors.mean():+.1f} | {np.sqrt((errors**2).mean()):.1f} | {held:.0f} % | {width:.0f}")
    images, true = np.mean([cycle.images for cycle in cycles]), 100 * np.mean([cycle.true for cycle in cycles])
    return f"| {name} | {images:.0f} | {true:.1f} | {' | '.join(parts)} |"


def main() -> None:
    """Run the seeds of each strategy and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--strategy", default="auto")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--cycles", type=int, default=5)
    parser.add_argument("--start", type=int, default=100)
    parser.add_argument("--budget", type=int, default=100)
    parser.add_argument("--test", default="0.05", help="share or file of images that are left alone")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(shutil.copytree(options.workspace, Path(folder) / "workspace"))
        world = World(root, options)
        seeds = range(options.first_seed, options.first_seed + options.seeds)
        runs = [list(world.cycles(options.strategy, seed)) for seed in seeds]
    print(f"{options.workspace.name}, {options.strategy}: {len(world.ids)} images, seeds {seeds[0]} to {seeds[-1]}\n")
    print(
        "| cycle | held out | true | plain: mean error | rms | 90 % holds | width | weighted: mean error | rms | "
        "90 % holds | width |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for cycles in zip(*runs, strict=True):
        print(line(str(cycles[0].number), list(cycles)))
    print(line("all", [cycle for run in runs for cycle in run]) + "\n")
    for kind in ("plain", "weighted"):
        means = [100 * np.mean([getattr(cycle, kind)[0] - cycle.true for cycle in run]) for run in runs]
        mean = estimate(np.array(means))
        print(f"{kind}: mean error {mean.mean:+.1f} [95 %: {mean.low:+.1f} to {mean.high:+.1f}], over the seeds")


if __name__ == "__main__":
    main()
