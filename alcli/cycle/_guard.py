"""The guard against a collapsed model: one that is clearly worse than the last does not rank."""

from __future__ import annotations

from alcli.context import Context
from alcli.curves.collapse import is_clearly_worse
from alcli.curves.recipe import differences, recipe
from alcli.workspace.measurements import Collapse, Measurement
from alcli.workspace.records import Scored, StepRecord, Training, measurement_of


def model_to_keep(context: Context, cycle: int, training: StepRecord[Training]) -> StepRecord[Training] | None:
    """The training whose model ranked the list before this cycle's.

    None where nobody may be held back by it: it is the same model, it is gone, or ``train.accept_worse`` is set.
    """
    scored = context.workspace.newest(Scored, before=cycle)
    if scored is None or scored.summary.cold_start or context.config.train.accept_worse:
        return None
    earlier = context.workspace.intact_step(scored.summary.model_cycle, Training)
    if earlier is None or earlier.file is None or earlier.sha256 != scored.summary.model_sha256:
        return None
    return None if earlier.sha256 == training.sha256 else earlier


def find_collapse(
    context: Context, training: StepRecord[Training], measurement: Measurement, earlier: StepRecord[Training] | None
) -> Collapse | None:
    """What is wrong with a new model that is clearly worse than the earlier one; None as a rule."""
    if earlier is None:
        return None
    before = measurement_of(earlier, context.workspace.step(earlier.cycle, Scored))
    if not is_clearly_worse(measurement, before):
        return None
    old, new = (recipe(context.workspace, record.cycle, record.summary.model) for record in (earlier, training))
    return Collapse(training.cycle, training.sha256, measurement, earlier.cycle, before, tuple(differences(old, new)))
