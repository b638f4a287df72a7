"""Agreement of two models: how stable predictions are from one cycle to the next."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from alcli.annotations import Annotation
from alcli.errors import DataError

if TYPE_CHECKING:
    from alcli.tasks import Example, Task

SURE = 0.5
"""Score from which a box, or one of several labels, counts as predicted."""


def agreement(
    task: Task,
    examples: Sequence[Example],
    before: Iterable[Annotation],
    now: Iterable[Annotation],
) -> float | None:
    """Score each model's predictions against the other's as ground truth, with the task's metric; return the lower one.

    In [0, 1]; 1 means that the metric sees no difference. None if there is nothing to compare, for example because
    neither model predicted anything with confidence. After "stabilizing predictions" (Bloodgood & Vijay-Shanker, CoNLL
    2009); the task's metric replaces their kappa, which is not defined for boxes, joints or regions. For tasks with
    ``several_labels``, labels scored below 0.5 count as not predicted.
    """
    earlier, later = ({prediction.item_id: prediction for prediction in predictions} for predictions in (before, now))
    both = [example for example in examples if example.item.id in earlier and example.item.id in later]
    if not both:
        return None
    metrics = (_evaluate(task, both, earlier, later), _evaluate(task, both, later, earlier))
    return min((metric for metric in metrics if metric is not None), default=None)


def _evaluate(
    task: Task,
    examples: Sequence[Example],
    truth: Mapping[str, Annotation],
    predictions: Mapping[str, Annotation],
) -> float | None:
    several = getattr(task, "several_labels", False)
    labeled = [replace(example, annotation=_as_truth(truth[example.item.id], several)) for example in examples]
    try:
        metrics = task.evaluate(labeled, [predictions[example.item.id] for example in examples])
    except DataError:
        return None
    return next(iter(metrics.values()))


def _as_truth(prediction: Annotation, several: bool) -> Annotation:
    """The prediction without low-confidence boxes and labels; joints and regions have no usable score."""
    return prediction.confident(SURE) if prediction.boxes or several else prediction
