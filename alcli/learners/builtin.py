"""Train alcli's own network, with its loss head, on the annotated images; the same network looks at the pool."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from torch import nn

from alcli import plugins
from alcli.artifacts.backends import choose_backend
from alcli.artifacts.checkpoints import StepCheckpoints
from alcli.artifacts.examples import Examples
from alcli.artifacts.starting_weights import settle_weights
from alcli.artifacts.trained import TrainedModel, load_trained, starting_model
from alcli.artifacts.trainings import accepted_models
from alcli.config import Config, TrainOptions
from alcli.context import Context
from alcli.engine import distributed
from alcli.engine.recipe import settle
from alcli.engine.training import Diverged
from alcli.engine.training import train as run_epochs
from alcli.engine.training_state import TrainingState
from alcli.errors import DataError
from alcli.items import Refusal
from alcli.learners import Learned
from alcli.learners._builtin_options import BuiltinOptions
from alcli.models import storage
from alcli.models.loss_head import LossHead
from alcli.models.weights import load_strictly
from alcli.system.clock import now
from alcli.system.hashing import sha256_of_text
from alcli.system.interruption import postpone_signals
from alcli.system.progress import LOG
from alcli.system.text import quantity
from alcli.tasks import Example, Task
from alcli.workspace.records import BUILTIN, StepRecord, Training

SCORING_ONLY = ("aggregate", "top_k", "count_power", "dropout", "dropout_passes")
"""Task options that change signals but no weights."""
WITHOUT_EFFECT = ("workers", "checkpoint_every", "allow_cold_start", "accept_worse", "group_distance", "group_names")
"""Training options that do not change a weight, or change which images are held out, which the examples' hash holds."""


class Builtin:
    """Trains a network of torchvision or timm with the learned-loss head (Yoo & Kweon, CVPR 2019).

    Interrupted trainings resume from their last checkpoint.
    """

    Options = BuiltinOptions

    def __init__(self, context: Context) -> None:
        self._given = context

    @cached_property
    def context(self) -> Context:
        """With the starting weights that ``model.weights = auto`` stands for."""
        return settle_weights(self._given)

    def check(self) -> None:
        """Raise UsageError if the backend of the scoring is not installed; all else shows when the network is built."""
        choose_backend(self._given.config.score, 0)

    def can_learn(self, examples: Examples) -> bool:
        """Whether there are an image to train on and a class."""
        return bool(examples.training and examples.classes)

    def inputs(self, examples: Examples) -> str:
        """The settings that the weights depend on."""
        return _settings(self.context.config)

    def learn(self, cycle: int, inputs: str, examples: Examples) -> Learned:
        """Train; once more with a lower learning rate if the loss diverges.

        Raises:
            DataError: weights do not fit, or training diverged twice.
        """
        context = self.context
        _say_limits(context, examples)
        trained = _train_twice(context, cycle, inputs, examples)
        # A stage of its own: what the examples are must not depend on how far an earlier run came.
        problems = context.workspace.store.quarantine("training", trained.lost, now(), complete=True)
        path = context.workspace.cycle_folder(cycle) / "model.safetensors"
        context.workspace.store.drop_step(cycle, Training.step)
        storage.save(path, trained.model, trained.loss_head, _manifest(context.config, trained.task, trained.loss_head))
        summary = Training(
            trained_on=len(examples.training) - len(trained.lost),
            held_out=len(examples.held_out),
            model=trained.task.model_name,
            classes=tuple(examples.classes),
            validation=context.config.train.validation,
            started_from=trained.started_from,
            learning_rate=trained.learning_rate,
        )
        record = StepRecord(cycle, inputs, path, None, summary, "")
        predictor = TrainedModel(context, trained.task, trained.model, trained.loss_head, record)
        return Learned(summary, path, predictor, problems)

    def load(self, record: StepRecord[Training]) -> TrainedModel:
        """The network of a finished training."""
        return load_trained(self._given, record)

    def signal_names(self, training: Training) -> frozenset[str]:
        """All that the task computes."""
        names: frozenset[str] = plugins.load("tasks", self._given.config.task.name).signal_names
        return names


def _settings(config: Config) -> str:
    """What the weights depend on in addition to the examples, as text."""
    sections = {"task": config.options_of("task"), "model": config.model, "train": config.train}
    content = {name: section.model_dump(mode="json") for name, section in sections.items()}
    for key in WITHOUT_EFFECT:
        del content["train"][key]
    for key in SCORING_ONLY:
        del content["task"][key]
    return json.dumps(content, sort_keys=True)


@dataclass(frozen=True)
class _Trained:
    """A trained network; ``lost`` are the images that could not be loaded while it learned."""

    task: Task
    model: nn.Module
    loss_head: LossHead
    started_from: str
    learning_rate: float
    lost: Sequence[Refusal]


def _say_limits(context: Context, examples: Examples) -> None:
    if len(examples.classes) == 1:
        context.progress.say(
            f"There is one class only ({examples.classes[0]}): entropy then only separates objects from background."
        )
    if not examples.held_out and context.config.train.validation > 0:
        context.progress.say("No labeled image falls into the held-out share yet: this cycle has no metric.")


def _train_twice(context: Context, cycle: int, inputs: str, examples: Examples) -> _Trained:
    """Train; once more with a tenth of the learning rate if the loss diverges."""
    options = context.config.train
    try:
        return _run_training(context, cycle, inputs, examples, options)
    except Diverged:
        options = options.model_copy(update={"learning_rate": options.learning_rate / 10})
        context.progress.say(f"The loss diverged; trying again with learning rate {options.learning_rate:g}.")
    try:
        return _run_training(context, cycle, inputs, examples, options)
    except Diverged:
        raise DataError(
            "Training diverged twice: the loss is not finite.",
            kept="What was pulled and the models of earlier cycles are kept.",
            do="Lower train.learning_rate, or check the annotations that came last.",
        ) from None


def _run_training(context: Context, cycle: int, inputs: str, examples: Examples, options: TrainOptions) -> _Trained:
    config = context.config.model_copy(update={"train": options})
    task, model, loss_head = starting_model(config, examples.classes)
    started_from = config.model.weights
    if options.init == "warm":
        started_from = _warm_start(context, cycle, task, model, loss_head) or started_from
    options = settle(task, options, len(examples.training))
    _say_length(context, task, len(examples.training), options)
    job = Job(config, tuple(examples.classes), examples.training, options, bool(getattr(task, "pretrained", False)))
    lost: dict[str, Refusal] = {}
    total = options.epochs * len(examples.training)
    with postpone_signals() as stop:
        checkpoints = StepCheckpoints(context, cycle, sha256_of_text(inputs, str(options.learning_rate)), stop)
        state = checkpoints.load()
        distributed.announce(replace(job, state=state))
        done = state.position.epoch if state else 0
        with context.progress.track("Training", total, start=done * len(examples.training)) as advance:
            advance(0, f"epoch {done + 1}/{options.epochs}")
            for report in run_epochs(task, model, loss_head, examples.training, options, checkpoints, state):
                advance(report.images, f"epoch {report.epoch}/{report.epochs} · loss {report.loss:.3g}")
                lost.update((refusal.id, refusal) for refusal in report.refusals)
                context.progress.detail(
                    f"epoch {report.epoch}/{report.epochs}: loss {report.loss:.3f}, ranking loss {report.ranking:.3f}"
                )
                stop.obey()
    return _Trained(task, model, loss_head, started_from, options.learning_rate, list(lost.values()))


@dataclass(frozen=True)
class Job:
    """What the other processes of a training have to know; its weights follow."""

    config: Config
    classes: tuple[str, ...]
    examples: Sequence[Example]
    options: TrainOptions
    pretrained: bool
    state: TrainingState | None = None


def follow() -> None:
    """Help rank 0 with its trainings until it says that there are no more, or is gone."""
    distributed.connect()
    try:
        while job := distributed.receive():
            _help(job)
    except RuntimeError as error:  # the connection has ended: rank 0 says why, if there is a reason
        LOG.debug("Rank 0 is gone: %s", error)


def _help(job: Job) -> None:
    task, model, loss_head = starting_model(job.config, job.classes)
    if hasattr(task, "pretrained"):
        task.pretrained = job.pretrained
    try:
        for _ in run_epochs(task, model, loss_head, job.examples, job.options, None, job.state):
            pass
    except Diverged:
        return  # so has rank 0, which may begin again


def _say_length(context: Context, task: Task, count: int, options: TrainOptions) -> None:
    epochs = quantity(options.epochs, "epoch")
    if options.epochs > context.config.train.epochs:
        epochs += f" (train.min_steps asks for {options.min_steps} updates)"
    context.progress.say(f"Training {task.model_name} on {quantity(count, 'image')}, {epochs}.")


def _warm_start(context: Context, cycle: int, task: Task, model: nn.Module, loss_head: LossHead) -> str | None:
    """Load the newest earlier model; returns from which cycle, or None when there is none that fits."""
    own = (record for record in accepted_models(context, cycle) if record.summary.learner == BUILTIN)
    record = next(own, None)
    if record is None:
        return None
    if context.config.train.validation > record.summary.validation:
        # Its training images would now be among the held-out ones, and the metric would reward what it remembers.
        context.progress.say(f"train.validation has grown since cycle {record.cycle}: training starts from scratch.")
        return None
    path = context.workspace.verify_file(record)
    state, head_state, manifest = storage.read(path)
    wanted = _manifest(context.config, task, loss_head)
    if faults := storage.differences(manifest, wanted, ("task", "model", "channels")):
        context.progress.say(f"Cycle {record.cycle}'s model cannot be fine-tuned ({'; '.join(faults)}).")
        return None
    load_strictly(model, task.adapt(model, state, manifest.classes), str(path))
    load_strictly(loss_head, head_state, str(path))
    return f"cycle {record.cycle}"


def _manifest(config: Config, task: Task, loss_head: LossHead) -> storage.Manifest:
    return storage.Manifest(config.task.name, task.model_name, task.classes, task.input_shape, loss_head.channels)
