"""CSV files that every reader takes apart again exactly: RFC 4180, UTF-8, ``\\n``, plain decimals."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import IO, Any

from alcli.errors import DataError


def plain(value: float) -> str:
    """A number without an exponent that reads back as the same float."""
    return format(Decimal(repr(float(value))), "f")


def write_rows(stream: IO[str], header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write RFC 4180 lines that every reader, and ``read``, takes apart again exactly."""
    lean = csv.writer(stream, lineterminator="\n")
    quoted = csv.writer(stream, lineterminator="\n", quoting=csv.QUOTE_ALL)
    lean.writerow(header)
    for row in rows:
        # A lone carriage return ends a line for most readers, but Python only quotes its own line end.
        (quoted if any("\r" in str(value) for value in row) else lean).writerow(row)


def read(path: Path) -> list[dict[str, str]]:
    """The lines of a CSV file as texts, exactly as written: ``NA`` and ``001`` stay what they are.

    Raises:
        DataError: a line has too many or too few columns, or the file is no text.
    """
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            return list(_checked(csv.reader(stream, strict=True), path))
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not a CSV file in UTF-8: {error}.") from None


def _checked(lines: Iterable[list[str]], path: Path) -> Iterable[dict[str, str]]:
    header: list[str] | None = None
    try:
        for number, line in enumerate(lines, 1):
            if header is None:
                header = line
            elif len(line) != len(header):
                raise DataError(f"{path}, row {number}: {len(line)} columns, expected {len(header)}.")
            else:
                yield dict(zip(header, line, strict=True))
    except csv.Error as error:
        raise DataError(f"{path} is not a CSV file: {error}.") from None
