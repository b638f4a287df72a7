"""Simulate active learning on the labels of a workspace: plan, runs, results."""

from __future__ import annotations

import functools
import json
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alcli import plugins
from alcli.artifacts.configured_task import make_task
from alcli.artifacts.starting_weights import settle_weights
from alcli.config import Config
from alcli.context import CACHE, Context
from alcli.curves.metrics import metric_name
from alcli.cycle.pull import pull
from alcli.errors import WorkspaceDamaged
from alcli.items import Refusal
from alcli.report.simulated import FILE_NAME as GAINS
from alcli.simulation.labels import Labels, gather
from alcli.simulation.plan import Arm, Plan, check_arms, check_frozen
from alcli.simulation.results import Results, curves_of, summarize, verdict
from alcli.simulation.runs import Engine, Job, execute, threads_for
from alcli.system.files import SHARED, atomic_write
from alcli.system.hashing import sha256_of_text
from alcli.system.progress import Progress
from alcli.system.text import quantity

PLAN_FILE = "plan.json"
FROZEN_SIDE = 160
"""Default input of a frozen simulation on maps: the network's own size would take four times the disk and the time."""


@dataclass(frozen=True)
class Request:
    """A request for a simulation; sizes that are None follow from the number of labels."""

    arms: Sequence[Arm]
    seeds: int
    cycles: int
    start: int | None = None
    budget: int | None = None
    test: str = "0.3"
    frozen: bool = False
    inverse_strength: float = 1.0
    processes: int | None = None
    metric: str | None = None


@dataclass(frozen=True)
class Simulation:
    """A simulation before its runs, which no longer need the workspace.

    Attributes:
        threads: of each run; the first command's also hold for runs that are added later.
    """

    folder: Path
    config: Config
    labels: Labels
    plan: Plan
    request: Request
    problems: Sequence[Refusal]
    threads: int

    @property
    def jobs(self) -> list[Job]:
        """Every arm with every seed, ordered by seed, so that an incomplete simulation compares all arms."""
        return [
            Job(self.folder, arm, seed, self.plan) for seed in range(self.request.seeds) for arm in self.request.arms
        ]

    @property
    def title(self) -> str:
        """A title for people."""
        model = make_task(self.config, self.labels.classes).model_name
        kind = f"frozen features of {model}" if self.plan.frozen else model
        images = quantity(len(self.labels.pool), "image")
        return f"{self.config.task.name}, {kind}: {images}, {len(self.labels.test)} to test on"


def plan(context: Context, request: Request) -> Simulation:
    """Check the request and choose the folder; the workspace must be locked, but only during this call.

    A workspace that has never pulled pulls now.

    The same labels, settings and sizes use the same folder: finished runs are not repeated, and new seeds and
    strategies are added.

    Raises:
        UsageError: a strategy whose signals the task cannot compute, or a task that frozen features do not work for.
        DataError: too few labels.
    """
    from alcli.simulation.costs import unit_of
    from alcli.simulation.trained import relevant_settings

    pulled = [] if context.workspace.store.pool().items else pull(context).problems
    context = settle_weights(context)
    if request.frozen:
        check_frozen(context.config)
    unit = unit_of(plugins.load("tasks", context.config.task.name))
    labels, problems = gather(context, request.test, unit)
    sizes = Plan.of(len(labels.pool), len(labels.test), request.start, request.budget, request.cycles, request.frozen)
    task = make_task(context.config, labels.classes)
    check_arms(request.arms, task.signal_names, f"the task {context.config.task.name}", request.frozen)
    settings = relevant_settings(context.config, request.frozen)
    strength = str(request.inverse_strength) if request.frozen else ""
    texts = (json.dumps(part, sort_keys=True) for part in (settings, sizes.settings()))
    key = sha256_of_text(labels.fingerprint, *texts, strength)
    folder = _folder(context.workspace.root / "simulations", key)
    side_by_side = min(request.processes or os.cpu_count() or 1, request.seeds * len(request.arms))
    # A linear head is too small to benefit from a second thread.
    fresh = 1 if request.frozen else threads_for(side_by_side)
    threads = int(_read_plan(folder / PLAN_FILE).get("threads", fresh))
    content = {"key": key, **sizes.settings(), "pool": len(labels.pool), "test": len(labels.test), "threads": threads}
    with atomic_write(folder / PLAN_FILE) as stream:
        json.dump({**content, "settings": settings}, stream, indent=2)
    return Simulation(folder, context.config, labels, sizes, request, [*pulled, *problems], threads)


def run(simulation: Simulation, progress: Progress) -> Results:
    """Execute the missing runs; write ``curves.csv``, ``table.md``, ``curves.png`` and ``curves.html``."""
    processes = simulation.request.processes or os.cpu_count() or 1
    missing = [job for job in simulation.jobs if not job.is_complete]
    if missing:
        progress.say(
            f"{_runs_in_words(simulation, len(missing))}, {simulation.plan.cycles + 1} trainings each, "
            f"{min(processes, len(missing))} at a time"
        )
        engine = _engine(simulation, processes, progress)
        execute(simulation.jobs, engine, processes, simulation.threads, progress)
    curves = curves_of(simulation.jobs)
    request = simulation.request
    results = summarize(curves, request.arms, simulation.labels.unit, request.metric, len(simulation.labels.pool))
    write(simulation, results)
    return results


def _runs_in_words(simulation: Simulation, missing: int) -> str:
    strategies = quantity(len(simulation.request.arms), "strategy")
    runs = quantity(len(simulation.jobs), "run")
    rest = f", {missing} of them to do" if missing < len(simulation.jobs) else ""
    return f"{strategies} × {quantity(simulation.request.seeds, 'seed')} = {runs}{rest}"


def write(simulation: Simulation, results: Results) -> None:
    """Write the results to the simulation's folder."""
    from alcli.simulation.plot import write_pictures
    from alcli.simulation.tables import markdown

    with atomic_write(simulation.folder / "curves.csv", permissions=SHARED) as stream:
        results.curves.to_csv(stream, index=False, lineterminator="\n")
    with atomic_write(simulation.folder / "table.md", permissions=SHARED) as stream:
        stream.write(f"# {simulation.title}\n\n{verdict(results)}\n\n{markdown(results)}")
    write_pictures(simulation.folder, results, simulation.title)
    with atomic_write(simulation.folder / GAINS) as stream:
        json.dump(_gains(results), stream)


def _gains(results: Results) -> dict[str, Any]:
    """The gains over random for the report; only where they have an interval."""
    known = {arm.arm: arm.gain.difference for arm in results.others if math.isfinite(arm.gain.difference.low)}
    gains = {name: {"mean": gain.mean, "low": gain.low, "high": gain.high} for name, gain in known.items()}
    return {"metric": metric_name(results.metric), "runs": results.runs, "gains": gains}


def _engine(simulation: Simulation, processes: int, progress: Progress) -> Callable[[], Engine]:
    config, labels = simulation.config, simulation.labels
    if simulation.plan.frozen:
        return _frozen_engine(simulation, progress)
    from alcli.simulation.trained import TrainedEngine, prepare_answers, remove_finished

    remove_finished(simulation.jobs)
    prepare_answers(simulation.folder, labels)
    workers = 0 if processes > 1 else config.train.workers
    return functools.partial(TrainedEngine, config, labels, workers)


def _frozen_engine(simulation: Simulation, progress: Progress) -> Callable[[], Engine]:
    from alcli.simulation.frozen import FrozenEngine

    config, labels, cache = simulation.config, simulation.labels, simulation.folder.parents[1] / CACHE
    if hasattr(plugins.load("tasks", config.task.name), "frozen_head"):
        from alcli.simulation import dense_maps
        from alcli.simulation.dense_head import DenseLearner

        side = config.model.input_size or FROZEN_SIDE
        config = config.model_copy(update={"model": config.model.model_copy(update={"input_size": side})})
        maps = dense_maps.extract(config, labels, cache, progress)
        return functools.partial(FrozenEngine, config, labels, DenseLearner(config, labels, maps))
    from alcli.simulation.features import extract
    from alcli.simulation.linear_head import LinearLearner

    examples = sorted([*labels.pool, *labels.test], key=lambda example: example.item.id)
    features = extract(config, examples, cache, progress)
    learner = LinearLearner(config, labels, features, simulation.request.inverse_strength)
    return functools.partial(FrozenEngine, config, labels, learner)


def _folder(root: Path, key: str) -> Path:
    """The folder with this key, as ``simulations/0001``, or the next free one."""
    root.mkdir(exist_ok=True, mode=0o700)
    numbers = sorted(int(path.name) for path in root.iterdir() if path.name.isdigit())
    for number in numbers:
        file = root / f"{number:04d}" / PLAN_FILE
        if _read_plan(file).get("key") == key:
            return file.parent
    folder = root / f"{numbers[-1] + 1 if numbers else 1:04d}"
    folder.mkdir(mode=0o700)
    return folder


def _read_plan(file: Path) -> dict[str, Any]:
    """The content of a plan's file; empty if there is none."""
    if not file.is_file():
        return {}
    try:
        return dict(json.loads(file.read_text(encoding="utf-8")))
    except (ValueError, TypeError):
        raise WorkspaceDamaged(
            f"{file} was not written by a simulation.", do=f"Delete {file.parent}, or move it away, and run again."
        ) from None
