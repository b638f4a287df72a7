"""Export: the ranked list as CSV files."""

from __future__ import annotations

from alcli.artifacts.scores import last_scores, read_list
from alcli.context import Context, StepResult, logged_step
from alcli.priorities import Origin, write_files
from alcli.strategies import order_in_words
from alcli.system.hashing import sha256_of_text
from alcli.workspace.records import Exported, Scored, StepRecord


@logged_step
def export(context: Context, cycle: int) -> StepResult[Exported]:
    """Write ``priorities.csv`` and ``priorities.wide.csv`` into the cycle's folder."""
    record = last_scores(context, cycle)
    inputs = export_inputs(record)
    done = context.workspace.matching_step(cycle, Exported, inputs)
    if done:
        return StepResult(cycle, done.summary, already_done=True)
    rows = read_list(context, record)
    context.workspace.store.drop_step(cycle, Exported.step)
    path = context.workspace.cycle_folder(cycle) / "priorities.csv"
    write_files(path, rows, origin(record))
    summary = Exported(len(rows))
    context.workspace.finish_step(cycle, inputs, summary, path)
    return StepResult(cycle, summary)


def export_inputs(record: StepRecord[Scored]) -> str:
    """A hash that changes with the list."""
    return sha256_of_text(str(record.sha256))


def origin(record: StepRecord[Scored]) -> Origin:
    """The columns of the wide CSV that are the same in every row."""
    scored = record.summary
    reason = f"first list: {first_list_in_words(scored)}" if scored.cold_start else ""
    return Origin(record.cycle, scored.strategy, f"{scored.model}@cycle{scored.model_cycle}", reason)


def first_list_in_words(scored: Scored) -> str:
    """What the list of a cycle without a model consists of: ``a random sample``."""
    return order_in_words(scored.strategy)
