"""Simulation by the production cycle, against a platform that knows all answers."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alcli.artifacts.predictor import load_predictor
from alcli.artifacts.starting_weights import weights_of
from alcli.artifacts.trainings import newest_training
from alcli.config import Config, LearnerOptions, ScoreOptions, TrainOptions, rename_strategy
from alcli.context import Context
from alcli.cycle import open_cycle, run_cycle
from alcli.cycle.pull import pull
from alcli.cycle.train import train
from alcli.errors import DataError
from alcli.items import Refusal
from alcli.platforms.oracle import Oracle, write_answers
from alcli.simulation.labels import Labels
from alcli.simulation.plan import BASELINE, Arm
from alcli.simulation.runs import Job, Point
from alcli.system.progress import Silent
from alcli.workspace import Workspace
from alcli.workspace.records import Scored

ANSWERS = "answers.jsonl"
UNREAD: Any = {
    **dict.fromkeys(("platform", "learner", "report", "cost", "cache", "notify"), True),
    "train": {"checkpoint_every"},
}
"""Settings that do not affect a run's results."""
UNREAD_FROZEN: Any = {
    **UNREAD,
    "train": set(TrainOptions.model_fields) - {"margin", "loss_head"},
    "score": set(ScoreOptions.model_fields) - {"precision", "backend"},
}
"""The same for frozen simulations, which train only a linear head and a loss head."""


@dataclass(frozen=True)
class TrainedEngine:
    """Trains a network in every cycle, as `alcli cycle` does.

    Attributes:
        workers: decoding processes; 0 if several runs share the cores.
    """

    config: Config
    labels: Labels
    workers: int | None

    def turns(self, job: Job, points: Sequence[Point]) -> Iterator[Point]:
        """Yield the missing cycles; raises DataError for an unusable image, because all arms must use the same ones."""
        root = _root(job)
        revealed = job.plan.start_set([example.item.id for example in self.labels.pool], job.seed)
        if not points:
            shutil.rmtree(root, ignore_errors=True)
        # Each cycle starts from the previous model, so without the run's workspace all cycles are repeated.
        first = len(points) if (root / "alcli.toml").is_file() else 0
        for point in points[:first]:
            revealed += point.asked
        context = self._context(root, job)
        oracle = context.platform
        assert isinstance(oracle, Oracle)
        with context.workspace.lock():
            for cycle in range(first, job.plan.cycles + 1):
                oracle.reveal(revealed)
                last = cycle == job.plan.cycles
                number, at_random = _train_only(context) if last else _whole_cycle(context)
                asked = [] if last else oracle.batch()
                if cycle >= len(points):
                    cost = sum(self.labels.costs[item_id] for item_id in revealed)
                    yield Point(cycle, len(revealed), cost, self._metrics(context, number), asked, at_random)
                revealed += asked
                _forget_models(context, number)
        context.workspace.close()
        shutil.rmtree(root, ignore_errors=True)

    def _context(self, root: Path, job: Job) -> Context:
        settings = {"platform.name": "oracle", "platform.queue": "queue.csv"}
        workspace = Workspace.open(root) if (root / "alcli.toml").is_file() else Workspace.create(root, settings)
        config = run_config(self.config, self.labels.classes, job.arm, job.seed, job.plan.budget, self.workers)
        platform = Oracle.Options(name="oracle", annotations=job.folder / ANSWERS, queue=root / "queue.csv")
        return Context(workspace, config.model_copy(update={"platform": platform}), Silent())

    def _metrics(self, context: Context, number: int) -> dict[str, float]:
        predictor = load_predictor(context, newest_training(context, number))
        predictions = list(predictor.predictions(self.labels.test))
        loaded = {prediction.item_id for prediction in predictions}
        lost = [example.item for example in self.labels.test if example.item.id not in loaded]
        _check([Refusal(item.id, item.name, "the image cannot be loaded", item.version) for item in lost])
        return predictor.task.evaluate(self.labels.test, predictions)


def run_config(
    config: Config, classes: tuple[str, ...], arm: Arm, seed: int, budget: int, workers: int | None
) -> Config:
    """The workspace's settings with those of this run.

    As many labels are held out as in the workspace's own cycles: how far `auto` trusts uncertainties rests on them.
    """
    shaping = {"detach_after": 0.0} if arm.plain else {}
    train_options = config.train.model_copy(update={"seed": seed, "workers": workers, **shaping})
    return config.model_copy(
        update={
            "task": config.task.model_copy(update={"classes": classes}),
            # Whatever the workspace learns with: only a network that is trained in each cycle can be simulated.
            "learner": LearnerOptions(),
            "train": train_options,
            "score": config.score.model_copy(update={"workers": workers, "engine": "local"}),
            "strategy": rename_strategy(config.strategy, arm.strategy),
            "selection": config.selection.model_copy(update={"budget": budget, "seed": seed, "recheck_share": 0.0}),
        }
    )


def relevant_settings(config: Config, frozen: bool) -> dict[str, Any]:
    """The settings that the results of runs depend on, by section.

    Settings that ``run_config`` sets per run have a constant value. A weights file is represented by its content, not
    its path. Labels, classes and sizes are part of the plan.
    """
    run = run_config(config, (), Arm(BASELINE), seed=0, budget=1, workers=None).complete()
    content = run.model_dump(mode="json", exclude=UNREAD_FROZEN if frozen else UNREAD)
    content["model"]["weights"] = weights_of(config)
    own = type(config.strategy).model_fields.keys() - content["strategy"].keys()
    content["strategy"] |= config.strategy.model_dump(mode="json", include=own, exclude_defaults=True)
    return content


def _root(job: Job) -> Path:
    """The run's own workspace, which is removed after the run."""
    return job.folder / "workspaces" / f"{job.arm.file_name}-seed{job.seed:03d}"


def remove_finished(jobs: Iterable[Job]) -> None:
    """Remove the workspaces of runs that were killed after their last cycle."""
    for job in jobs:
        if _root(job).is_dir() and job.is_complete:
            shutil.rmtree(_root(job), ignore_errors=True)


def prepare_answers(folder: Path, labels: Labels) -> None:
    """Write the answers of all runs' oracles, and the paths of the images."""
    write_answers(folder / ANSWERS, ((example.item, example.path, answer) for example, answer in labels.answers()))


def _whole_cycle(context: Context) -> tuple[int, int]:
    _check(run_cycle(context).problems)
    number = context.workspace.store.cycles()[-1].number
    scored = context.workspace.step(number, Scored)
    return number, scored.summary.at_random if scored else 0


def _train_only(context: Context) -> tuple[int, int]:
    """Pull and train only: after the last cycle no images are requested, so none are scored."""
    problems = [*pull(context).problems]
    number = open_cycle(context)
    _check([*problems, *train(context, number).problems])
    return number, 0


def _check(problems: Sequence[Refusal]) -> None:
    if problems:
        raise DataError(
            f"{problems[0].name}: {problems[0].reason}.",
            kept="Finished cycles of the simulation are kept.",
            do="Repair or skip that image, then run the same command again.",
        )


def _forget_models(context: Context, number: int) -> None:
    """Delete the models of earlier cycles and all signals; the next cycle needs only the newest model."""
    for folder in sorted((context.workspace.root / "cycles").iterdir()):
        if int(folder.name) < number:
            (folder / "model.safetensors").unlink(missing_ok=True)
        for signals in folder.glob("signals*"):
            shutil.rmtree(signals, ignore_errors=True)
