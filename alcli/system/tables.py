"""CSV files that every reader parses alike: RFC 4180, UTF-8, ``\\n``, decimals without exponents."""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alcli.errors import DataError

if TYPE_CHECKING:
    from _typeshed import SupportsWrite

AT_ONCE = 4096


def plain(value: float) -> str:
    """Format a number without an exponent so that it parses back to the same float."""
    return format(Decimal(repr(float(value))), "f")


def write_rows(stream: SupportsWrite[str], header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a header and rows in RFC 4180; ``read`` returns them unchanged."""
    csv.writer(stream, lineterminator="\n").writerow(header)
    rest = iter(rows)
    while some := list(itertools.islice(rest, AT_ONCE)):
        text = io.StringIO(newline="")
        csv.writer(text, lineterminator="\n").writerows(some)
        stream.write(_quote_returns(some) if "\r" in text.getvalue() else text.getvalue())


def _quote_returns(rows: Iterable[Sequence[Any]]) -> str:
    """Rows of which one has a carriage return: most readers take it for a line end, but Python doesn't quote it."""
    text = io.StringIO(newline="")
    minimal = csv.writer(text, lineterminator="\n")
    quoted = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL)
    for row in rows:
        (quoted if any("\r" in str(value) for value in row) else minimal).writerow(row)
    return text.getvalue()


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


def read_columns(path: Path, names: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Some columns of each row, in this order, one row at a time; a column that is not there is empty.

    Raises:
        DataError: as ``read`` does.
    """
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            lines = _checked(csv.reader(stream, strict=True), path)
            header = next(lines, [])
            places = [header.index(name) if name in header else len(header) for name in names]
            if len(names) > 1 and set(names) <= set(header):
                yield from map(itemgetter(*places), lines)
                return
            for line in lines:
                line.append("")
                yield tuple([line[place] for place in places])
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not a CSV file in UTF-8: {error}.") from None


def _by_column(lines: Iterable[list[str]], path: Path) -> Iterable[dict[str, str]]:
    rows = _checked(lines, path)
    header = next(rows, [])
    for line in rows:
        yield dict(zip(header, line, strict=True))


def _checked(lines: Iterable[list[str]], path: Path) -> Iterator[list[str]]:
    """The header and the rows, which have as many columns; raises DataError."""
    columns: int | None = None
    try:
        for number, line in enumerate(lines, 1):
            columns = len(line) if columns is None else columns
            if len(line) != columns:
                raise DataError(f"{path}, row {number}: {len(line)} columns, expected {columns}.")
            yield line
    except csv.Error as error:
        raise DataError(f"{path} is not a CSV file: {error}.") from None
