"""``scores.csv``: the ranked list of a score step, with its only writer and reader."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from alcli.context import Context
from alcli.errors import UsageError
from alcli.items import AL, LABELED, RANDOM, RECHECK, UNLABELED, QueryRow
from alcli.selection.query import CONTROL, Query
from alcli.signals import DESCRIPTIONS, Signals
from alcli.system.files import atomic_write
from alcli.system.tables import plain, read, write_rows
from alcli.workspace import StepRecord

COLUMNS = ("rank", "id", "name", "score", "score_percentile", "asked", "arm", "reason")


def scored_rows(context: Context, record: StepRecord) -> list[QueryRow]:
    """The ranked list of a finished score step, best first; items that have left the pool since are left out."""
    items = context.workspace.store.pool(forgiving=("image",)).items
    return [
        QueryRow(
            int(row["rank"]),
            items[row["id"]],
            float(row["score"]),
            row["asked"] == "yes",
            {key: row[key] for key in ("score_percentile", "reason") if row.get(key)},
            arm_of(row),
        )
        for row in read(context.workspace.verified_file(record))
        if row["id"] in items
    ]


def write(path: Path, query: Query, signals: Signals) -> None:
    """Write the list with every one-number signal beside its rows, best first."""
    shown = [name for name in DESCRIPTIONS if name in signals.arrays and signals[name].ndim == 1]
    position = {item_id: row for row, item_id in enumerate(signals.item_ids)}

    def lines() -> Iterator[list[str]]:
        for row in query.rows:
            place = position.get(row.item.id)
            values = ["" if place is None else plain(signals[name][place]) for name in shown]
            asked = "yes" if row.asked else "no"
            details = [row.details["score_percentile"], asked, row.arm, row.details.get("reason", "")]
            yield [str(row.rank), row.item.id, row.item.name, plain(row.score), *details, *values]

    with atomic_write(path) as stream:
        write_rows(stream, (*COLUMNS, *shown), lines())


def last_scores(context: Context, cycle: int | None = None) -> StepRecord:
    """The newest finished score step, or that of one cycle; raises UsageError when there is none."""
    number = cycle if cycle is not None else context.workspace.store.newest_step("score")
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


def arm_of(row: Mapping[str, str]) -> str:
    """The arm of a line of ``scores.csv``; lists of an earlier alcli say only whom chance chose."""
    return row.get("arm") or (RANDOM if row.get("reason") == CONTROL else AL)
