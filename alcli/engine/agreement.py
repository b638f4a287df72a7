"""Whether two models say the same: the stability of predictions, from one cycle to the next."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from alcli.annotations import Annotation
from alcli.errors import DataError

if TYPE_CHECKING:
    from alcli.tasks import Example, Task

SURE = 0.5
"""Score from which a label among several, or a box, counts as said."""


def agreement(
    task: Task,
    examples: Sequence[Example],
    before: Iterable[Annotation],
    now: Iterable[Annotation],
) -> float | None:
    """The task's own metric of either model's predictions against the other's as if they were true; the smaller one.

    In [0, 1]; 1: the same, as far as the metric can tell. None where there is nothing to compare, as when neither model
    was sure of anything. After "stabilizing predictions" (Bloodgood & Vijay-Shanker, CoNLL 2009), with the task's
    metric in place of their kappa, which knows no boxes, joints or regions. Labels below 0.5 count as not said where
    the task has ``several_labels``.
    """
    earlier, later = ({row.item_id: row for row in rows} for rows in (before, now))
    both = [row for row in examples if row.item.id in earlier and row.item.id in later]
    values = [_measured(task, both, truth, said) for truth, said in ((earlier, later), (later, earlier)) if both]
    known = [value for value in values if value is not None]
    return min(known) if known else None


def _measured(
    task: Task,
    examples: Sequence[Example],
    truth: Mapping[str, Annotation],
    said: Mapping[str, Annotation],
) -> float | None:
    several = getattr(task, "several_labels", False)
    taken = [replace(row, annotation=_as_truth(truth[row.item.id], several)) for row in examples]
    try:
        metrics = task.evaluate(taken, [said[row.item.id] for row in examples])
    except DataError:
        return None
    return next(iter(metrics.values()))


def _as_truth(said: Annotation, several: bool) -> Annotation:
    """What a person would have annotated; joints and regions have no score that would tell."""
    return said.confident(SURE) if said.boxes or several else said
