"""Handover: what is done with the rows asked for, once the queue stands: pre-labels, people, statuses, subsets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from alcli.annotations import Annotation
from alcli.context import Context
from alcli.errors import UsageError
from alcli.items import Item, QueryRow, Refusal
from alcli.platforms import Dispatching, Platform
from alcli.workspace import StepRecord


@dataclass(frozen=True)
class Handover:
    """What is wanted beside the order; by default nothing.

    Attributes:
        assign: people to whom the items are dealt round robin.
        status: status of the platform's workflow to give them.
        subset: named set of the platform to put them into.
        prelabels: whether the model's predictions are uploaded for people to correct.
    """

    assign: tuple[str, ...] = ()
    status: str = ""
    subset: str = ""
    prelabels: bool = False

    @property
    def wanted(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.assign or self.status or self.subset or self.prelabels)

    def check(self, platform: Platform) -> None:
        """Raises UsageError when the platform cannot do any of it."""
        if self.wanted and not isinstance(platform, Dispatching):
            raise UsageError(
                f"The platform {type(platform).__name__.lower()} has no people, statuses or subsets.",
                do="Leave --assign, --status, --subset and --prelabels out.",
            )

    def summary(self) -> dict[str, Any]:
        """What is wanted, for people and for ``--json``; empty when nothing is."""
        wanted = {"assign": list(self.assign), "status": self.status, "subset": self.subset}
        return {key: value for key, value in {**wanted, "prelabels": self.prelabels}.items() if value}


def hand_over(context: Context, scored: StepRecord, rows: Sequence[QueryRow], wanted: Handover) -> list[Refusal]:
    """Do what is wanted with the rows; returns what the platform refused.

    Raises:
        DataError: the predictions name a class that the platform lacks.
        UsageError: there is no model, or no such status.
    """
    platform = context.platform
    if not wanted.wanted or not rows or not isinstance(platform, Dispatching):
        return []
    refused = _prelabel(context, scored, rows, platform) if wanted.prelabels else []
    if wanted.subset:
        platform.add_to_subset(rows, wanted.subset)
    if wanted.assign:
        platform.assign(rows, wanted.assign)
    if wanted.status:
        platform.set_status(rows, wanted.status)
    _look_again(context, rows)
    return refused


def _prelabel(context: Context, scored: StepRecord, rows: Sequence[QueryRow], platform: Dispatching) -> list[Refusal]:
    # Here, so that only a push with pre-labels pays for torch.
    from alcli.artifacts.examples import fetch
    from alcli.artifacts.trained import load_trained
    from alcli.engine import inference
    from alcli.tasks import Example

    training = context.workspace.step(int(scored.summary["model_cycle"]), "train")
    if training is None or training.file is None:
        raise UsageError("There is no model yet that could make pre-labels.", do="Annotate some images first.")
    paths, refused = fetch(context, [row.item for row in rows])
    examples = [Example(row.item, paths[row.item.id]) for row in rows if row.item.id in paths]
    task, model, _, _ = load_trained(context, training)
    items = {example.item.id: example.item for example in examples}
    everything = inference.predictions(task, model, examples, context.config.score)
    predictions = [row for row in _confident(everything, context.config.platform.prelabel_score) if row.class_names()]
    return [*refused, *platform.prelabel([items[row.item_id] for row in predictions], predictions)]


def _confident(predictions: Iterable[Annotation], least: float) -> Iterator[Annotation]:
    """Without the boxes that a detector proposes by the hundred and believes in little."""
    for row in predictions:
        yield replace(row, boxes=tuple(box for box in row.boxes if (box.score or 0) >= least))


def _look_again(context: Context, rows: Sequence[QueryRow]) -> None:
    """Remember what alcli itself changed on the platform, so that the next push does not take it for news."""
    touched = {row.item.id for row in rows}
    listed = (row for row in context.platform.items() if isinstance(row, Item))
    context.workspace.store.update_items(row for row in listed if row.id in touched)
