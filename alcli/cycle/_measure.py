"""What a new model is worth, on the annotated images that are held out for ever."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from scipy.stats import spearmanr
from torch import nn

from alcli.annotations import Annotation
from alcli.artifacts.trained import load_previous
from alcli.context import Context
from alcli.engine import inference
from alcli.engine.agreement import agreement
from alcli.errors import AlcliError, DataError
from alcli.models.loss_head import LossHead
from alcli.tasks import Example, Task


def measured(
    context: Context, cycle: int, task: Task, model: nn.Module, loss_head: LossHead, held_out: Sequence[Example]
) -> dict[str, Any]:
    """``metrics`` of a cycle's new model on the held-out images, and its ``agreement`` with the model before it.

    Both are empty, or None, where nothing is held out or nothing can be measured; it is said why.
    """
    if not held_out:
        return {"metrics": {}, "agreement": None}
    context.progress.say(f"Measuring on {len(held_out)} held-out images.")
    said = {row.item_id: row for row in inference.predictions(task, model, held_out, context.config.score)}
    held_out = [example for example in held_out if example.item.id in said]
    return {
        "metrics": _metrics(context, task, model, loss_head, held_out, said),
        "agreement": _agreement(context, cycle, task, held_out, said),
    }


def _metrics(
    context: Context,
    task: Task,
    model: nn.Module,
    loss_head: LossHead,
    held_out: Sequence[Example],
    said: Mapping[str, Annotation],
) -> dict[str, float]:
    """The task's metric on the held-out items, and how well predicted losses rank the true ones there."""
    if not held_out:
        return {}
    try:
        metrics = task.evaluate(held_out, said.values())
    except DataError as error:
        context.progress.say(f"{error.what} This cycle has no metric.")
        return {}
    if len(held_out) >= 3:
        true, predicted = inference.losses(task, model, loss_head, held_out, context.config.score)
        if len(set(true.tolist())) > 1 and len(set(predicted.tolist())) > 1:
            metrics["loss_rank_correlation"] = float(spearmanr(true, predicted).statistic)
    return metrics


def _agreement(
    context: Context, cycle: int, task: Task, held_out: Sequence[Example], said: Mapping[str, Annotation]
) -> float | None:
    """How far this model and the one before say the same about the held-out images; None where none can be asked."""
    try:
        previous = load_previous(context, cycle, task)
    except AlcliError as error:
        context.progress.say(f"{error.what} It is not compared with this one.")
        return None
    if previous is None:
        return None
    before = inference.predictions(task, previous, held_out, context.config.score)
    return agreement(task, held_out, before, said.values())
