"""``scores.csv``: the ranked list of a score step, with its only writer and its only reader."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from alcli.context import Context
from alcli.errors import UsageError
from alcli.items import AL, LABELED, RANDOM, RECHECK, UNLABELED, Item, Pool, QueryRow
from alcli.selection.query import CONTROL, Query
from alcli.signals import DESCRIPTIONS, Signals
from alcli.system.files import atomic_write
from alcli.system.tables import plain, read, read_columns, write_rows
from alcli.workspace.records import Scored, StepRecord

OLD_CONTROL = "random control"
"""The reason of rows chosen at random in lists of an earlier alcli."""
LIST_COLUMNS = ("id", "arm", "rank", "score", "score_percentile", "asked", "reason")
SOURCES = {source: source for source in (AL, RANDOM, RECHECK)}
COLUMNS = ("rank", "id", "name", "score", "score_percentile", "asked", "arm", "reason")
_Line = tuple[Item, str, Sequence[str]]


@dataclass(frozen=True)
class ScoreRow:
    """One line of ``scores.csv``.

    Attributes:
        percentile: share of the other rows that come later, in percent.
        source: the strategy, chance or a re-check; the CSV column is ``arm``.
        signals: the one-number signals of the item by name; empty for a re-check.
    """

    rank: int
    item_id: str
    name: str
    score: float
    percentile: float
    asked: bool
    source: str
    reason: str
    signals: Mapping[str, float]


def write_scores(path: Path, query: Query, signals: Signals) -> None:
    """Write the list, best first, each row with the one-number signals of its item."""
    names = [name for name in DESCRIPTIONS if name in signals.arrays and signals[name].ndim == 1]
    positions = {item_id: position for position, item_id in enumerate(signals.item_ids)}

    def lines() -> Iterator[list[str]]:
        for row in query.rows:
            position = positions.get(row.item.id)
            values = ["" if position is None else plain(signals[name][position]) for name in names]
            percentile = "" if row.percentile is None else f"{row.percentile:.2f}"
            asked = "yes" if row.asked else "no"
            texts = [str(row.rank), row.item.id, row.item.name, plain(row.score), percentile, asked, row.source]
            yield [*texts, row.reason, *values]

    with atomic_write(path) as stream:
        write_rows(stream, (*COLUMNS, *names), lines())


def read_scores(path: Path) -> list[ScoreRow]:
    """Read the lines of a ``scores.csv``, best first; raises DataError for a file that is none."""
    return [_score_row(line) for line in read(path)]


def _score_row(line: Mapping[str, str]) -> ScoreRow:
    source = line.get("arm") or _source_of(line.get("reason", ""))
    signals = {name: float(text) for name, text in line.items() if text and name not in COLUMNS}
    return ScoreRow(
        int(line["rank"]),
        line["id"],
        line["name"],
        float(line["score"]),
        float(line["score_percentile"] or "nan"),
        line["asked"] == "yes",
        source,
        line.get("reason", ""),
        signals,
    )


def _source_of(reason: str) -> str:
    """The source in lists of an earlier alcli: they have no ``arm`` column, but a reason for rows chosen at random."""
    return RANDOM if reason in (CONTROL, OLD_CONTROL) else AL


def _shared(source: str) -> str:
    """The same text, once for a whole list."""
    return SOURCES.get(source, source)


def last_scores(context: Context, cycle: int | None = None) -> StepRecord[Scored]:
    """The newest finished score step, or that of one cycle; raises UsageError when there is none."""
    workspace = context.workspace
    record = workspace.newest(Scored) if cycle is None else workspace.step(cycle, Scored)
    if record is None:
        raise UsageError("Nothing has been scored yet.", do="Run `alcli score`, or the whole `alcli cycle`.")
    return record


def read_list(context: Context, record: StepRecord[Scored]) -> list[QueryRow]:
    """The list of a finished score step, best first, without items that have left the pool since."""
    return [_query_row(*line) for line in _lines(context, record, context.workspace.store.pool())]


def current_list(context: Context, record: StepRecord[Scored], top: int | None = None) -> list[QueryRow]:
    """The same list without items that were labeled or skipped since.

    Args:
        top: keep this many images, and the re-checks ranked among them.
    """
    rows = [_query_row(*line) for line in _current_lines(context, record)]
    return rows if top is None else first_rows(rows, top)


def start_of_list(context: Context, record: StepRecord[Scored], most: int) -> tuple[list[QueryRow], int]:
    """The first rows of ``current_list``, at most ``most``, and how many it has; keeps no others in memory."""
    lines = _current_lines(context, record)
    rows = [_query_row(*line) for line in itertools.islice(lines, most)]
    return rows, len(rows) + sum(1 for _ in lines)


def first_rows(rows: list[QueryRow], top: int) -> list[QueryRow]:
    """The first ``top`` images of a list, and the re-checks ranked among them."""
    ends = [count for count, row in enumerate(rows, 1) if row.source != RECHECK][:top]
    return rows[: ends[-1]] if ends else []


def _current_lines(context: Context, record: StepRecord[Scored]) -> Iterator[_Line]:
    pool = context.workspace.store.pool()
    wanted = {AL: UNLABELED, RANDOM: UNLABELED, RECHECK: LABELED}
    for item, source, texts in _lines(context, record, pool):
        if pool.state(item) == wanted[source]:
            yield item, source, texts


def _lines(context: Context, record: StepRecord[Scored], pool: Pool) -> Iterator[_Line]:
    """The item, the source and the other texts of every line whose item is in the pool."""
    path, items = context.workspace.verify_file(record), pool.items
    for item_id, source, *texts in read_columns(path, LIST_COLUMNS):
        item = items.get(item_id)
        if item is not None:
            yield item, _shared(source) or _source_of(texts[-1]), texts


def _query_row(item: Item, source: str, texts: Sequence[str]) -> QueryRow:
    rank, score, percentile, asked, reason = texts
    return QueryRow(int(rank), item, float(score), asked == "yes", source, float(percentile or "nan"), reason)
