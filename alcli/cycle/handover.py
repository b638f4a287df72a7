"""Handover: what happens to the rows asked for after the push: pre-labels, assignees, statuses, subsets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from alcli.context import Context
from alcli.errors import UsageError
from alcli.items import Item, QueryRow, Refusal
from alcli.platforms import Dispatching, Platform
from alcli.workspace.records import Scored, StepRecord, Training

if TYPE_CHECKING:
    from alcli.review.predictions import Predictions


@dataclass(frozen=True)
class Handover:
    """What a push does in addition to the order; by default nothing.

    Attributes:
        assign: people among whom the items are distributed in turn.
        status: the platform's workflow status to set.
        subset: the platform's named set to add them to.
        prelabels: whether the model's predictions are uploaded for people to correct.
    """

    assign: tuple[str, ...] = ()
    status: str = ""
    subset: str = ""
    prelabels: bool = False

    def __bool__(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.assign or self.status or self.subset or self.prelabels)

    def check(self, platform: Platform) -> None:
        """Raises UsageError when the platform cannot do any of it."""
        if self and not isinstance(platform, Dispatching):
            raise UsageError(
                f"The platform {type(platform).__name__.lower()} has no people, statuses or subsets.",
                do="Leave --assign, --status, --subset and --prelabels out.",
            )


def hand_over(
    context: Context, scored: StepRecord[Scored], rows: Sequence[QueryRow], handover: Handover
) -> list[Refusal]:
    """Do with the rows what the handover says; returns what the platform refused.

    Raises:
        DataError: the predictions name a class that the platform lacks.
        UsageError: there is no model, or no such status.
    """
    platform = context.platform
    if not handover or not rows or not isinstance(platform, Dispatching):
        return []
    refused = _upload_prelabels(context, scored, rows, platform) if handover.prelabels else []
    if handover.subset:
        platform.add_to_subset(rows, handover.subset)
    if handover.assign:
        platform.assign(rows, handover.assign)
    if handover.status:
        platform.set_status(rows, handover.status)
    _remember_changes(context, rows)
    return refused


def make_prelabels(context: Context, scored: StepRecord[Scored], items: Sequence[Item]) -> Predictions:
    """What the model of a list predicts on these images, without boxes below ``platform.prelabel_score``.

    Raises:
        UsageError: there is no model yet.
    """
    # Here, so that only a hand-over with pre-labels pays for torch.
    from alcli.artifacts.predictor import load_predictor
    from alcli.review.predictions import predict

    training = context.workspace.step(scored.summary.model_cycle, Training)
    if training is None or training.file is None:
        raise UsageError("There is no model yet that could make pre-labels.", do="Annotate some images first.")
    predictions = predict(context, load_predictor(context, training), items)
    least = context.config.platform.prelabel_score
    credible = {name: each.without_unlikely_objects(least) for name, each in predictions.annotations.items()}
    return replace(predictions, annotations=credible)


def _upload_prelabels(
    context: Context, scored: StepRecord[Scored], rows: Sequence[QueryRow], platform: Dispatching
) -> list[Refusal]:
    items = {row.item.id: row.item for row in rows}
    predictions = make_prelabels(context, scored, list(items.values()))
    unread = [Refusal(item_id, items[item_id].name, why) for item_id, why in predictions.missing.items()]
    prelabels = [annotation for annotation in predictions.annotations.values() if annotation.class_names()]
    return [*unread, *platform.prelabel([items[annotation.item_id] for annotation in prelabels], prelabels)]


def _remember_changes(context: Context, rows: Sequence[QueryRow]) -> None:
    """Remember what alcli itself changed on the platform, so that the next push does not take it for news."""
    changed = {row.item.id for row in rows}
    listed = (item for item in context.platform.items() if isinstance(item, Item))
    context.workspace.store.update_items(item for item in listed if item.id in changed)
