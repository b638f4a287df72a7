"""Priorities for platforms, derived from ranks so that the order is never lost, and the CSV files of the list.

The narrow file has exactly the columns ``name,entropy_value`` that SuperAnnotate imports; the wide file next to it has
everything else. Decimals without exponents, UTF-8, ``\\n``, best first, no ties.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from alcli.items import RECHECK, QueryRow
from alcli.system.files import SHARED, atomic_write
from alcli.system.tables import plain, write_rows

NARROW = ("name", "entropy_value")
WIDE = (
    "rank",
    "name",
    "folder",
    "id",
    "score",
    "score_percentile",
    "asked",
    "cycle",
    "strategy",
    "model",
    "arm",
    "reason",
)
FINE = 100_000
"""Largest number of items that five decimals in (0, 1] can distinguish."""
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠", "'")
"""First characters that a spreadsheet may take for a formula, and the one that marks a text."""


@dataclass(frozen=True)
class Origin:
    """Where a list comes from: the columns of the wide file that are the same in every row.

    Attributes:
        model: ``NAME@cycleN``.
        reason: of rows without a reason of their own.
    """

    cycle: int
    strategy: str
    model: str
    reason: str = ""


def priorities(count: int) -> list[str]:
    """One priority per rank, best first, strictly falling, in a form that platforms store digit for digit.

    Up to 100,000 items: five decimals in (0, 1]; more: whole numbers.
    """
    if count > FINE:
        return [str(count - position) for position in range(count)]
    # In units of 0.00001, consecutive ranks are at least one apart, so rounding down causes no ties.
    levels = ((count - position) * FINE // count for position in range(count))
    return [f"{level // FINE}.{level % FINE:05d}" for level in levels]


def write_narrow(stream: IO[str], rows: Sequence[QueryRow]) -> None:
    """Write ``name,entropy_value`` for each image to annotate, best first; re-checks are only in the wide file."""
    rows = [row for row in rows if row.source != RECHECK]
    pairs = zip(rows, priorities(len(rows)), strict=True)
    write_rows(stream, NARROW, ((row.item.name, priority) for row, priority in pairs))


def write_wide(stream: IO[str], rows: Sequence[QueryRow], origin: Origin) -> None:
    """Write everything known about each row, for people: a text that a spreadsheet would run has a ``'`` before it.

    The narrow file, the queue and ``scores.csv`` have the exact texts, because programs match their names.
    """
    write_rows(stream, WIDE, (_wide_row(row, origin) for row in rows))


def write_files(narrow: Path, rows: Sequence[QueryRow], origin: Origin) -> Path | None:
    """Write the narrow file and the wide one (``NAME.wide.csv``) next to it; returns the wide one's path.

    A device or pipe receives only the narrow lines; then the result is None.
    """
    if narrow.exists() and not narrow.is_file():
        # A device or pipe cannot be replaced atomically.
        with narrow.open("w", encoding="utf-8", newline="") as stream:
            write_narrow(stream, rows)
        return None
    narrow = narrow.resolve()
    wide = narrow.with_suffix(".wide" + (narrow.suffix or ".csv"))
    with atomic_write(wide, permissions=SHARED) as stream:
        write_wide(stream, rows, origin)
    with atomic_write(narrow, permissions=SHARED) as stream:
        write_narrow(stream, rows)
    return wide


def _wide_row(row: QueryRow, origin: Origin) -> tuple[Any, ...]:
    percentile = "" if row.percentile is None else f"{row.percentile:.2f}"
    names = (as_text(row.item.name), as_text(row.item.folder), as_text(row.item.id))
    return (
        *(row.rank, *names, plain(row.score), percentile),
        *("yes" if row.asked else "no", origin.cycle, as_text(origin.strategy), as_text(origin.model), row.source),
        as_text(row.reason or origin.reason),
    )


def as_text(text: str) -> str:
    """The text with a ``'`` before it where a spreadsheet would take it for a formula; undone by dropping the ``'``."""
    return f"'{text}" if text.startswith(FORMULA) else text
