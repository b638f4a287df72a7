"""Evaluates a new model on the labeled images that are held out for good."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from scipy.stats import spearmanr
from torch import nn

from alcli.annotations import Annotation
from alcli.artifacts.trained import load_previous
from alcli.context import Context
from alcli.engine import inference
from alcli.engine.agreement import agreement
from alcli.errors import AlcliError, DataError
from alcli.models.loss_head import LossHead
from alcli.system.text import quantity
from alcli.tasks import Example, Task


@dataclass(frozen=True)
class Evaluation:
    """A model's metrics on the held-out images, and its agreement with the model before.

    Attributes:
        metrics: the headline first; empty where nothing is held out or nothing can be measured.
        agreement: in [0, 1]; None where the models cannot be compared.
    """

    metrics: dict[str, float] = field(default_factory=dict)
    agreement: float | None = None


def evaluate_model(
    context: Context, cycle: int, task: Task, model: nn.Module, loss_head: LossHead, held_out: Sequence[Example]
) -> Evaluation:
    """Evaluate a cycle's new model; where something cannot be measured, say why."""
    if not held_out:
        return Evaluation()
    context.progress.say(f"Evaluating on {quantity(len(held_out), 'held-out image')}.")
    rows = inference.predictions(task, model, held_out, context.config.score)
    predictions = {prediction.item_id: prediction for prediction in rows}
    held_out = [example for example in held_out if example.item.id in predictions]
    metrics = _metrics(context, task, held_out, predictions)
    if metrics and len(held_out) >= 3:
        true, predicted = inference.losses(task, model, loss_head, held_out, context.config.score)
        if len(set(true.tolist())) > 1 and len(set(predicted.tolist())) > 1:
            metrics["loss_rank_correlation"] = float(spearmanr(true, predicted).statistic)
    return Evaluation(metrics, _agreement(context, cycle, task, held_out, predictions))


def _metrics(
    context: Context, task: Task, held_out: Sequence[Example], predictions: Mapping[str, Annotation]
) -> dict[str, float]:
    """The task's metrics; empty where they cannot be computed."""
    if not held_out:
        return {}
    try:
        return task.evaluate(held_out, predictions.values())
    except DataError as error:
        context.progress.say(f"{error.what} This cycle has no metric.")
        return {}


def _agreement(
    context: Context, cycle: int, task: Task, held_out: Sequence[Example], predictions: Mapping[str, Annotation]
) -> float | None:
    """How far this model and the one before predict the same on the held-out images."""
    try:
        previous = load_previous(context, cycle, task)
    except AlcliError as error:
        context.progress.say(f"{error.what} It is not compared with the new model.")
        return None
    if previous is None:
        return None
    before = inference.predictions(task, previous, held_out, context.config.score)
    return agreement(task, held_out, before, predictions.values())
