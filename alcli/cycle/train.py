"""Train: a model with its loss head on the annotated items."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import nn

from alcli import plugins
from alcli.artifacts.checkpoints import StepCheckpoints, forget
from alcli.artifacts.examples import Examples, prepare_examples
from alcli.artifacts.starting_weights import settle_weights
from alcli.artifacts.trained import accepted_models, starting_model
from alcli.config import Config, TrainOptions
from alcli.context import Context, StepResult, logged_step
from alcli.cycle._measure import evaluate_model
from alcli.engine.recipe import settle
from alcli.engine.training import Diverged
from alcli.engine.training import train as run_epochs
from alcli.errors import DataError
from alcli.items import LABELED, Item, Refusal
from alcli.models import storage
from alcli.models.loss_head import LossHead
from alcli.models.weights import load_strictly
from alcli.system.clock import now
from alcli.system.files import atomic_write
from alcli.system.hashing import sha256_of_text
from alcli.system.interruption import postpone_signals
from alcli.system.text import quantity
from alcli.tasks import Task
from alcli.workspace.records import StepRecord, Training

SCORING_ONLY = ("aggregate", "top_k", "count_power", "dropout", "dropout_passes")
"""Task options that change signals but no weights."""
WITHOUT_EFFECT = ("workers", "checkpoint_every", "allow_cold_start", "accept_worse", "group_distance", "group_names")
"""Training options that do not change a weight, or change which images are held out, which the examples' hash holds."""


@logged_step
def train(context: Context, cycle: int) -> StepResult[Training]:
    """Train for one cycle; reuses an earlier model when nothing it depends on has changed.

    Without any annotation there is nothing to train: the cycle is a cold start, and says so.

    Raises:
        DataError: there are annotations and none can be used, weights do not fit, or training diverged twice.
    """
    context = settle_weights(context)
    examples = prepare_examples(context)
    inputs = sha256_of_text(examples.fingerprint, _settings(context.config))
    earlier = _same_training(context, cycle, inputs)
    if earlier is not None:
        summary = earlier.summary
        if earlier.cycle != cycle:
            summary = replace(summary, reused_from=earlier.cycle)
            context.workspace.finish_step(cycle, inputs, summary, earlier.file)
        forget(context, cycle)
        return StepResult(cycle, summary, True, examples.problems)
    if not examples.training or not examples.classes:
        return _cold_start(context, cycle, inputs, examples)
    return _train(context, cycle, inputs, examples)


def _same_training(context: Context, cycle: int, inputs: str) -> StepRecord[Training] | None:
    """The newest finished training with the same inputs and an intact file; this cycle's first."""
    numbers = {record.number for record in context.workspace.store.cycles() if record.number <= cycle}
    candidates = (
        context.workspace.matching_step(number, Training, inputs) for number in sorted({cycle, *numbers}, reverse=True)
    )
    return next((record for record in candidates if record), None)


def _settings(config: Config) -> str:
    """What the weights depend on in addition to the examples, as text."""
    sections = {"task": config.options_of("task"), "model": config.model, "train": config.train}
    content = {name: section.model_dump(mode="json") for name, section in sections.items()}
    for key in WITHOUT_EFFECT:
        del content["train"][key]
    for key in SCORING_ONLY:
        del content["task"][key]
    return json.dumps(content, sort_keys=True)


def _cold_start(context: Context, cycle: int, inputs: str, examples: Examples) -> StepResult[Training]:
    labeled = context.workspace.store.pool(forgiving=("reading", "encoding", "training", "image")).in_state(LABELED)
    usable = examples.classes and examples.held_out
    if labeled and not usable and not context.config.train.allow_cold_start:
        raise _no_usable_annotation(context, labeled)
    why = "There are no annotations yet"
    if labeled:
        why = (
            f"All usable annotations ({len(examples.held_out)}) are in the held-out share"
            if usable
            else f"None of the {quantity(len(labeled), 'annotation')} can be used"
        )
    # Where nothing is annotated, the end of the cycle says what that means.
    say = context.progress.say if labeled else context.progress.detail
    say(f"{why}, so there is no model: this cycle is a cold start.")
    summary = Training(held_out=len(examples.held_out), cold_start=True)
    context.workspace.finish_step(cycle, inputs, summary)
    return StepResult(cycle, summary, problems=examples.problems)


def _no_usable_annotation(context: Context, labeled: Sequence[Item]) -> DataError:
    """The error that names the commonest reason, and the class names if it is these that differ."""
    reasons = Counter(entry.reason for entry in context.workspace.store.quarantine_entries())
    task, options = plugins.load("tasks", context.config.task.name), context.config.options_of("task")
    annotations = context.workspace.store.annotations(item.id for item in labeled)
    names = Counter(name for annotation in annotations for name in task.vocabulary(annotation, options))
    wanted = context.config.task.classes
    what = f"None of the {quantity(len(labeled), 'annotation')} can be used"
    do = "Correct the annotations or the settings (alcli list quarantine), or rank without a model: --allow-cold-start."
    if wanted and names and not names.keys() & set(wanted):
        shown = ", ".join(f"{name} {count}×" for name, count in names.most_common(10))
        what += f": their classes are {shown}; task.classes has {', '.join(wanted)}"
        do = f"Did you mean --set task.classes={','.join(sorted(names))}? {do}"
    elif reasons:
        reason, count = reasons.most_common(1)[0]
        what += f"; {count} of them: {reason}"
    else:
        what += ": they are all empty"
        do = "If the images show none of the objects, name the classes in task.classes. " + do
    return DataError(f"{what}.", kept="No list was made; the annotators' queue is unchanged.", do=do)


@dataclass(frozen=True)
class _Trained:
    """A trained network; ``lost`` are the images that could not be loaded while it learned."""

    task: Task
    model: nn.Module
    loss_head: LossHead
    started_from: str
    learning_rate: float
    lost: Sequence[Refusal]


def _train(context: Context, cycle: int, inputs: str, examples: Examples) -> StepResult[Training]:
    _say_limits(context, examples)
    trained = _train_twice(context, cycle, inputs, examples)
    # A stage of its own: what the examples are must not depend on how far an earlier run came.
    problems = context.workspace.store.quarantine("training", trained.lost, now(), complete=True)
    path = context.workspace.cycle_folder(cycle) / "model.safetensors"
    context.workspace.store.drop_step(cycle, Training.step)
    storage.save(path, trained.model, trained.loss_head, _manifest(context.config, trained.task, trained.loss_head))
    evaluation = evaluate_model(context, cycle, trained.task, trained.model, trained.loss_head, examples.held_out)
    summary = Training(
        trained_on=len(examples.training) - len(trained.lost),
        held_out=len(examples.held_out),
        model=trained.task.model_name,
        classes=tuple(examples.classes),
        validation=context.config.train.validation,
        started_from=trained.started_from,
        learning_rate=trained.learning_rate,
        metrics=evaluation.metrics,
        agreement=evaluation.agreement,
        confusion=tuple(evaluation.confusion),
    )
    with atomic_write(path.with_name("metrics.json")) as stream:
        stream.write(json.dumps(summary.document(), indent=2) + "\n")
    context.workspace.finish_step(cycle, inputs, summary, path)
    forget(context, cycle)
    return StepResult(cycle, summary, problems=[*examples.problems, *problems])


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
    lost: dict[str, Refusal] = {}
    total = options.epochs * len(examples.training)
    with postpone_signals() as stop:
        checkpoints = StepCheckpoints(context, cycle, sha256_of_text(inputs, str(options.learning_rate)), stop)
        state = checkpoints.load()
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


def _say_length(context: Context, task: Task, count: int, options: TrainOptions) -> None:
    epochs = quantity(options.epochs, "epoch")
    if options.epochs > context.config.train.epochs:
        epochs += f" (train.min_steps asks for {options.min_steps} updates)"
    context.progress.say(f"Training {task.model_name} on {quantity(count, 'image')}, {epochs}.")


def _warm_start(context: Context, cycle: int, task: Task, model: nn.Module, loss_head: LossHead) -> str | None:
    """Load the newest earlier model; returns from which cycle, or None when there is none that fits."""
    record = next(accepted_models(context, cycle), None)
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
