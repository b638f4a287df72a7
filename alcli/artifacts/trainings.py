"""Which earlier training a cycle uses: the newest, those that left a model, and the one whose model ranked before."""

from __future__ import annotations

from collections.abc import Iterator

from alcli.context import Context
from alcli.errors import UsageError
from alcli.workspace.records import Scored, StepRecord, Training


def newest_training(context: Context, cycle: int) -> StepRecord[Training]:
    """The newest finished training up to a cycle; raises UsageError when there is none."""
    record = context.workspace.newest(Training, before=cycle + 1)
    if record is None:
        raise UsageError("No training has been finished yet.", do="Run `alcli train`, or the whole `alcli cycle`.")
    return record


def accepted_models(context: Context, cycle: int) -> Iterator[StepRecord[Training]]:
    """The trainings before a cycle that left a model, the newest first; without models that did not rank."""
    collapsed = {record.summary.collapse.model_sha256 for record in context.workspace.all_steps(Scored)
                 if record.summary.collapse}  # fmt: skip
    collapsed -= {record.summary.model_sha256 for record in context.workspace.all_steps(Scored)}
    for record in reversed(context.workspace.all_steps(Training)):
        if record.cycle < cycle and record.file and record.sha256 not in collapsed:
            yield record


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
