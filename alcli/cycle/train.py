"""Train: a model with its loss head on the annotated items."""

from __future__ import annotations

import json
from typing import Any

import torch

from alcli.artifacts.checkpoints import StepCheckpoints, forget
from alcli.artifacts.examples import Examples, prepare
from alcli.artifacts.trained import untrained
from alcli.config import Config, TrainOptions
from alcli.context import Context, StepResult, noted
from alcli.cycle._measure import measured
from alcli.engine.training import Diverged
from alcli.engine.training import train as run_epochs
from alcli.errors import DataError
from alcli.items import LABELED, Refusal
from alcli.models import storage
from alcli.models.loss_head import LossHead
from alcli.models.weights import load_strictly
from alcli.system.clock import now
from alcli.system.files import atomic_write
from alcli.system.hashing import sha256_of_text
from alcli.system.interruption import postponed
from alcli.tasks import Task
from alcli.workspace import StepRecord

SCORING_ONLY = ("aggregate", "top_k", "count_power", "dropout", "dropout_passes")
"""Task options that change signals, never weights."""
UNSHAPING = ("workers", "checkpoint_every")
"""Training options that change no weight."""


@noted
def train(context: Context, cycle: int) -> StepResult:
    """Train for one cycle; reuses an earlier model when nothing it depends on has changed.

    Without a single usable annotation there is nothing to train: the cycle is a cold start, and says so.

    Raises:
        DataError: weights that do not fit, or training diverged twice.
    """
    examples = prepare(context)
    inputs = sha256_of_text(examples.fingerprint, _settings(context.config))
    earlier = _same_training(context, cycle, inputs)
    if earlier is not None:
        if earlier.cycle != cycle:
            summary = {**earlier.summary, "reused_from": earlier.cycle}
            earlier = context.workspace.finish_step(cycle, "train", inputs, earlier.file, summary)
        forget(context, cycle)
        return StepResult("train", cycle, earlier.summary, True, examples.problems)
    if not examples.training or not examples.classes:
        return _cold_start(context, cycle, inputs, examples)
    return _train(context, cycle, inputs, examples)


def _same_training(context: Context, cycle: int, inputs: str) -> StepRecord | None:
    """The newest finished training with the same inputs and an intact file, this cycle's first."""
    numbers = [row["number"] for row in context.workspace.store.cycles() if row["number"] <= cycle]
    for number in sorted({cycle, *numbers}, reverse=True):
        record = context.workspace.done(number, "train", inputs)
        if record:
            return record
    return None


def _settings(config: Config) -> str:
    """What the weights depend on beside the examples, as text."""
    sections = {"task": config.options_of("task"), "model": config.model, "train": config.train}
    content = {name: section.model_dump(mode="json") for name, section in sections.items()}
    for key in UNSHAPING:
        del content["train"][key]
    for key in SCORING_ONLY:
        del content["task"][key]
    return json.dumps(content, sort_keys=True)


def _cold_start(context: Context, cycle: int, inputs: str, examples: Examples) -> StepResult:
    pool = context.workspace.store.pool(forgiving=("encoding", "training")).items.values()
    annotated = sum(item.state == LABELED for item in pool)
    why = f"None of the {annotated} annotations can be used" if annotated else "There is no annotation yet"
    context.progress.say(f"{why}, so there is no model: this cycle is a cold start.")
    summary: dict[str, Any] = {"cold_start": True, "trained_on": 0, "held_out": len(examples.held_out)}
    record = context.workspace.finish_step(cycle, "train", inputs, None, summary)
    return StepResult("train", cycle, record.summary, problems=examples.problems)


def _train(context: Context, cycle: int, inputs: str, examples: Examples) -> StepResult:
    options = context.config.train
    _say_what(context, examples)
    try:
        trained = _trained(context, cycle, inputs, examples, options)
    except Diverged:
        options = options.model_copy(update={"learning_rate": options.learning_rate / 10})
        context.progress.say(f"The loss is not finite; once more with learning rate {options.learning_rate:g}.")
        try:
            trained = _trained(context, cycle, inputs, examples, options)
        except Diverged:
            raise DataError(
                "Training diverged twice: the loss is not finite.",
                kept="What was pulled and the models of earlier cycles are kept.",
                do="Lower train.learning_rate, or look at the annotations that came last.",
            ) from None
    task, model, loss_head, origin, lost = trained
    # A stage of its own: what the examples are must not depend on how far an earlier run came.
    problems = context.workspace.store.quarantine("training", lost, now(), complete=True)
    path = context.workspace.cycle_folder(cycle) / "model.safetensors"
    context.workspace.store.drop_step(cycle, "train")
    storage.save(path, model, loss_head, _manifest(context.config, task, loss_head))
    summary = {
        "model": task.model_name,
        "classes": list(examples.classes),
        "trained_on": len(examples.training) - len(lost),
        "held_out": len(examples.held_out),
        "validation": options.validation,
        "started_from": origin,
        "learning_rate": options.learning_rate,
        **measured(context, cycle, task, model, loss_head, examples.held_out),
    }
    with atomic_write(path.with_name("metrics.json")) as stream:
        stream.write(json.dumps(summary, indent=2) + "\n")
    record = context.workspace.finish_step(cycle, "train", inputs, path, summary)
    forget(context, cycle)
    return StepResult("train", cycle, record.summary, problems=[*examples.problems, *problems])


def _say_what(context: Context, examples: Examples) -> None:
    if len(examples.classes) == 1:
        context.progress.say(
            f"There is one class only ({examples.classes[0]}): entropy then tells object from background, no more."
        )
    if not examples.held_out and context.config.train.validation > 0:
        context.progress.say("No annotated image falls into the held-out share yet: this cycle has no metric.")


def _trained(
    context: Context, cycle: int, inputs: str, examples: Examples, options: TrainOptions
) -> tuple[Task, torch.nn.Module, LossHead, str, list[Refusal]]:
    """(task, model, loss head, what they started from, images that could not be loaded)."""
    config = context.config.model_copy(update={"train": options})
    task, model, loss_head = untrained(config, examples.classes)
    origin = context.config.model.weights
    if options.init == "warm":
        origin = _warm_start(context, cycle, task, model, loss_head) or origin
    context.progress.say(f"Training {task.model_name} on {len(examples.training)} images, {options.epochs} epochs.")
    lost: dict[str, Refusal] = {}
    total = options.epochs * len(examples.training)
    with context.progress.track("Training", total) as advance, postponed() as stop:
        checkpoints = StepCheckpoints(context, cycle, sha256_of_text(inputs, str(options.learning_rate)), stop)
        state = checkpoints.load()
        advance(state.position.epoch * len(examples.training) if state else 0)
        for report in run_epochs(task, model, loss_head, examples.training, options, checkpoints, state):
            advance(report.images)
            lost.update((refusal.id, refusal) for refusal in report.refusals)
            context.progress.detail(
                f"epoch {report.epoch}/{report.epochs}: loss {report.loss:.3f}, ranking loss {report.ranking:.3f}"
            )
            stop.obey()
    return task, model, loss_head, origin, list(lost.values())


def _warm_start(context: Context, cycle: int, task: Task, model: torch.nn.Module, loss_head: LossHead) -> str | None:
    """Load the newest earlier model; says from which cycle, or None when there is none that fits."""
    earlier = [row["number"] for row in context.workspace.store.cycles() if row["number"] < cycle]
    records = [context.workspace.step(number, "train") for number in reversed(earlier)]
    record = next((record for record in records if record and record.file), None)
    if record is None:
        return None
    if context.config.train.validation > record.summary.get("validation", 0.0):
        # Its training images would now be among the held-out ones, and the metric would praise what it remembers.
        context.progress.say(f"train.validation has grown since cycle {record.cycle}: this model starts afresh.")
        return None
    path = context.workspace.verified_file(record)
    state, head_state, manifest = storage.read(path)
    wanted = _manifest(context.config, task, loss_head)
    if faults := storage.differences(manifest, wanted, ("task", "model", "channels")):
        context.progress.say(f"Cycle {record.cycle}'s model cannot be gone on with ({'; '.join(faults)}).")
        return None
    load_strictly(model, task.adapt(model, state, manifest.classes), str(path))
    load_strictly(loss_head, head_state, str(path))
    return f"cycle {record.cycle}"


def _manifest(config: Config, task: Task, loss_head: LossHead) -> storage.Manifest:
    return storage.Manifest(config.task.name, task.model_name, task.classes, task.input_shape, loss_head.channels)
