"""CSV files that every reader parses alike: RFC 4180, UTF-8, ``\\n``, decimals without exponents."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import IO, Any

from alcli.errors import DataError


def plain(value: float) -> str:
    """Format a number without an exponent so that it parses back to the same float."""
    return format(Decimal(repr(float(value))), "f")


def write_rows(stream: IO[str], header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a header and rows in RFC 4180; ``read`` returns them unchanged."""
    minimal = csv.writer(stream, lineterminator="\n")
    quoted = csv.writer(stream, lineterminator="\n", quoting=csv.QUOTE_ALL)
    minimal.writerow(header)
    for row in rows:
        # Most readers take a lone carriage return for a line end, but Python quotes only its own line end.
        (quoted if any("\r" in str(value) for value in row) else minimal).writerow(row)


def read(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file by column, as strings: ``NA`` and ``001`` are not converted.

    Raises:
        DataError: a row has too many or too few columns, or the file is not valid CSV in UTF-8.
    """
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            return list(_by_column(csv.reader(stream, strict=True), path))
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not a CSV file in UTF-8: {error}.") from None


def _by_column(lines: Iterable[list[str]], path: Path) -> Iterable[dict[str, str]]:
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
