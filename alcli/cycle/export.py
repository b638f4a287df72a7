"""Export: the ranked list as CSV files."""

from __future__ import annotations

from typing import Any

from alcli.artifacts.scores import last_scores, scored_rows
from alcli.context import Context, StepResult, noted
from alcli.priorities import write_files
from alcli.strategies import order_in_words
from alcli.system.hashing import sha256_of_text
from alcli.workspace import StepRecord


@noted
def export(context: Context, cycle: int) -> StepResult:
    """Write ``priorities.csv`` and ``priorities.wide.csv`` into the cycle's folder."""
    scored = last_scores(context, cycle)
    inputs = sha256_of_text(str(scored.sha256))
    done = context.workspace.done(cycle, "export", inputs)
    if done:
        return StepResult("export", cycle, done.summary, already_done=True)
    rows = scored_rows(context, scored)
    context.workspace.store.drop_step(cycle, "export")
    path = context.workspace.cycle_folder(cycle) / "priorities.csv"
    write_files(path, rows, constants(scored))
    record = context.workspace.finish_step(cycle, "export", inputs, path, {"rows": len(rows)})
    return StepResult("export", cycle, record.summary)


def constants(scored: StepRecord) -> dict[str, Any]:
    """The columns of the wide CSV that are the same in every row."""
    model = f"{scored.summary['model']}@cycle{scored.summary['model_cycle']}"
    cold = scored.summary["cold_start"]
    reason = f"cold start: {order_in_words(scored.summary['strategy'])}" if cold else ""
    return {"cycle": scored.cycle, "strategy": scored.summary["strategy"], "model": model, "reason": reason}
