"""Models as trainings left them: of a cycle, of the cycle before, and the one that a training would start from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import nn

from alcli.artifacts.examples import make_task
from alcli.config import Config
from alcli.context import Context
from alcli.engine.training import feature_channels, seed_everything
from alcli.errors import AlcliError, UsageError
from alcli.models import storage
from alcli.models.loss_head import LossHead
from alcli.models.weights import load_strictly
from alcli.tasks import Task
from alcli.workspace import StepRecord

NO_CLASS_YET = ("thing",)
"""Before the first annotation there are no classes; a network needs one output all the same."""


def load_previous(context: Context, cycle: int, task: Task, current: str | None = None) -> nn.Module | None:
    """The model trained before a cycle's, its outputs moved to the task's classes; None where none can be compared.

    Args:
        current: hash of that cycle's model: an earlier cycle that used the same is none before it.
    """
    numbers = [row["number"] for row in context.workspace.store.cycles() if row["number"] < cycle]
    records = (context.workspace.step(number, "train") for number in reversed(numbers))
    earlier = next((row for row in records if row and row.file and row.sha256 != current), None)
    if earlier is None:
        return None
    path = context.workspace.verified_file(earlier)
    state, _, manifest = storage.read(path)
    if (manifest.task, manifest.model) != (context.config.task.name, task.model_name):
        return None
    model = task.build_model()
    load_strictly(model, task.adapt(model, state, manifest.classes), str(path))
    return model


def untrained(config: Config, classes: Sequence[str]) -> tuple[Task, nn.Module, LossHead]:
    """The network that a training would start from, for signals that need no training, as ``embedding`` does."""
    seed_everything(config.train.seed)
    task = make_task(config, classes)
    model = task.build_model()
    return task, model, LossHead(feature_channels(task, model))


def before_any_label(config: Config) -> tuple[Task, nn.Module, LossHead]:
    """The same before the first annotation: with the configured classes, or with one that stands for them."""
    if config.task.classes:
        return untrained(config, config.task.classes)
    task = config.options_of("task").before_any_class()
    return untrained(config.model_copy(update={"task": task}), NO_CLASS_YET)


def check_model(config: Config) -> None:
    """Build the network as a training would, with weights from a file if from one, and run it once; fetches nothing.

    Raises:
        UsageError: the task has no such model, or it cannot be built or run at the configured size.
        DataError: the weights cannot be read or do not fit.
    """
    weights = "none" if config.model.weights == "imagenet" else config.model.weights
    model = config.model.model_copy(update={"weights": weights})
    try:
        before_any_label(config.model_copy(update={"model": model}))
    except AlcliError:
        raise
    except Exception as error:
        # A library's network says in its own way what it cannot do, most often with an assertion.
        raise UsageError(
            f"The model {config.model.name!r} cannot be built and run: {error}.",
            do="Choose another model.name, or a model.input_size that it can take.",
        ) from None


def load_trained(context: Context, record: StepRecord) -> tuple[Task, nn.Module, LossHead, Path]:
    """The model of a finished training, verified; raises WorkspaceDamaged or DataError."""
    path = context.workspace.verified_file(record)
    state, head_state, manifest = storage.read(path)
    options = context.config.model.model_copy(
        update={"name": manifest.model, "weights": "none", "input_size": manifest.input_shape[0]}
    )
    config = context.config.model_copy(update={"model": options})
    task = make_task(config, manifest.classes)
    model, loss_head = task.build_model(), LossHead(manifest.channels)
    load_strictly(model, state, str(path))
    load_strictly(loss_head, head_state, str(path))
    return task, model, loss_head, path
