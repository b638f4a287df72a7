"""Whether two models say the same: the stability of predictions, from one cycle to the next."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from alcli.errors import DataError
from alcli.items import Annotation

if TYPE_CHECKING:
    from alcli.tasks import Example, Task

SURE = 0.5
"""Score from which a label among several, or a box, counts as said."""


def agreement(
    task: Task, examples: Sequence[Example], before: Iterable[Annotation], now: Iterable[Annotation]
) -> float | None:
    """The task's own metric of the predictions ``now``, measured against those of ``before`` as if they were true.

    In [0, 1]; 1: the same, as far as the metric can tell. None where there is nothing to compare, as when the earlier
    model was sure of nothing. After "stabilizing predictions" (Bloodgood & Vijay-Shanker, CoNLL 2009), with the task's
    metric in place of their kappa, which knows no boxes, joints or regions.
    """
    said = {row.item_id: _as_truth(row) for row in before}
    later = {row.item_id: row for row in now}
    both = [
        replace(row, annotation=said[row.item.id]) for row in examples if row.item.id in said and row.item.id in later
    ]
    if not both:
        return None
    try:
        metrics = task.evaluate(both, [later[row.item.id] for row in both])
    except DataError:
        return None
    return next(iter(metrics.values()))


def _as_truth(said: Annotation) -> Annotation:
    """What a person would have annotated; joints and regions have no score that would tell."""
    return said.confident(SURE) if said.boxes or len(said.labels) > 1 else said
