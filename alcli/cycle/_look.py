"""What is known about the images to rank: what a model says about them, or nothing at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from alcli.artifacts.scoring_pass import ScorePlan
from alcli.context import Context
from alcli.items import Item, Refusal
from alcli.signals import Signals
from alcli.system.text import quantity
from alcli.vectors.rows import are_equal
from alcli.workspace.measurements import Collapse, Measurement, Reliance
from alcli.workspace.records import StepRecord, Training

if TYPE_CHECKING:
    from alcli.artifacts.predictor import Predictor


@dataclass(frozen=True)
class Look:
    """What is known about the images to rank, and about the model that has looked at them.

    Attributes:
        training: of that model. predictor: the model; None where nobody had to be asked.
        plan: without the ``unknown`` images of the pool, which the model says nothing about.
        refusals: images that could not be read.
        measurement: what the model achieves; empty for an earlier one, which ranks in the place of a collapsed one.
        collapse: what is wrong with that collapsed model.
    """

    training: StepRecord[Training]
    plan: ScorePlan
    signals: Signals
    predictor: Predictor | None = None
    unknown: Sequence[Item] = ()
    refusals: Sequence[Refusal] = ()
    measurement: Measurement = field(default_factory=Measurement)
    reliance: Reliance | None = None
    collapse: Collapse | None = None

    @property
    def has_read_images(self) -> bool:
        """Whether the images of the pool were decoded, so that broken ones are known."""
        names = self.plan.pool_signals
        return bool(names) and self.predictor is not None and self.predictor.needs_images(names)

    @property
    def computed_by(self) -> str:
        """What has computed the pool's signals, in words; empty if there are none."""
        return self.predictor.computed_by if self.predictor and self.plan.pool_signals else ""


def say_limits(context: Context, plan: ScorePlan, signals: Signals) -> None:
    """Say what the strategy cannot see, and what follows from it."""
    budget = context.config.selection.budget or 0
    if 0 < len(plan.pool) < budget:
        context.progress.detail(f"The budget ({budget}) is larger than the pool: all of it is asked for.")
    if signals.labeled is not None:
        unseen = len(plan.labeled) - int(signals.labeled.finite().sum())
        if unseen:
            context.progress.say(
                f"{quantity(unseen, 'labeled image')} without features: images that look like them may be asked for."
            )
    vectors = signals.arrays.get("embedding")
    if vectors is not None and len(vectors) > 1 and are_equal(vectors):
        context.progress.say("The features of all images are equal: the list is in the order of uncertainty alone.")
