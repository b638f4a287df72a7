"""Export: the ranked list as CSV files."""

from __future__ import annotations

from typing import Any

from alcli.errors import UsageError
from alcli.files import sha256_of_text
from alcli.items import AL, LABELED, RANDOM, RECHECK, UNLABELED, QueryRow
from alcli.priorities import write_files
from alcli.steps import Context, StepResult, noted
from alcli.steps.score import scored_rows
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


def last_scores(context: Context, cycle: int | None = None) -> StepRecord:
    """The newest finished score step, or that of one cycle; raises UsageError when there is none."""
    number = cycle if cycle is not None else context.workspace.store.last_step("score")
    record = context.workspace.step(number, "score") if number is not None else None
    if record is None:
        raise UsageError("Nothing has been scored yet.", do="Run `alcli score`, or the whole `alcli cycle`.")
    return record


def current_rows(context: Context, scored: StepRecord, top: int | None = None) -> list[QueryRow]:
    """The ranked list without items labelled or skipped since, best first.

    Args:
        top: so many images at most, and the annotations to look at again that stand among them.
    """
    pool = context.workspace.store.pool()
    wanted = {AL: UNLABELED, RANDOM: UNLABELED, RECHECK: LABELED}
    rows = [row for row in scored_rows(context, scored) if pool.state(row.item) == wanted[row.arm]]
    if top is None:
        return rows
    places = [place for place, row in enumerate(rows, 1) if row.arm != RECHECK][:top]
    return rows[: places[-1]] if places else []


def constants(scored: StepRecord) -> dict[str, Any]:
    """The columns of the wide CSV that are the same in every row."""
    model = f"{scored.summary['model']}@cycle{scored.summary['model_cycle']}"
    order = "seeded random order" if scored.summary["strategy"] == "random" else "the most typical of each cluster"
    reason = f"cold start: {order}" if scored.summary["cold_start"] else ""
    return {"cycle": scored.cycle, "strategy": scored.summary["strategy"], "model": model, "reason": reason}
