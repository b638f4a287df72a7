"""Tables and sentences on a terminal: broken between words, never inside one."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Sequence
from typing import IO

import click

WITHOUT_TERMINAL = 120
"""Columns of a table that goes into a file or a pipe."""
GAP = 2
"""Spaces between two columns of a table."""
MOST_LAID_OUT = 1000
"""Rows of a table that is fitted to the width of the terminal; longer ones have columns as wide as their cells."""


def echo(text: str, err: bool = False) -> None:
    """Print text; on a terminal, its lines are broken at spaces."""
    stream: IO[str] = sys.stderr if err else sys.stdout
    click.echo(break_lines(text, shutil.get_terminal_size().columns) if stream.isatty() else text, err=err)


def break_lines(text: str, width: int) -> str:
    """Break long lines at spaces; words longer than a line, and lines whose parts are aligned, stay whole."""
    lines: list[str] = []
    for line in text.split("\n"):
        content = line.lstrip(" ")
        indent = line[: len(line) - len(content)]
        if len(line) <= width or "  " in content.rstrip():
            lines.append(line)
        else:
            parts = textwrap.wrap(content, width - len(indent), break_long_words=False, break_on_hyphens=False)
            lines += [indent + part for part in parts]
    return "\n".join(lines)


def print_table(title: str, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table to stdout; cells are shown literally, never interpreted as markup."""
    from rich.console import Console as RichConsole
    from rich.table import Table
    from rich.text import Text

    from alcli.system.text import visible

    if len(rows) > MOST_LAID_OUT:
        _print_plain(title, header, rows)
        return
    out = RichConsole(width=None if sys.stdout.isatty() else WITHOUT_TERMINAL, highlight=False)
    cells = [[visible(str(cell), keep="") for cell in row] for row in rows]
    table = Table(box=None, pad_edge=False, header_style="bold")
    widths = column_widths([header, *cells], out.width)
    for index, (column, width) in enumerate(zip(header, widths, strict=True)):
        is_numeric = bool(rows) and all(_is_number(row[index]) for row in cells)
        table.add_column(column, justify="right" if is_numeric else "left", overflow="fold", width=width)
    for row in cells:
        table.add_row(*map(Text, row))
    out.print(Text(title, style="bold"))
    out.print(table if rows else "  none")


def _print_plain(title: str, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a long table without breaking cells: laying out 100,000 rows takes the library half a minute."""
    from alcli.system.text import visible

    cells = [[visible(str(cell), keep="") for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(header, *cells, strict=True)]
    lines = ((" " * GAP).join(map(str.ljust, row, widths)).rstrip() for row in (header, *cells))
    click.echo("\n".join((title, *lines)))


def column_widths(lines: Sequence[Sequence[str]], room: int) -> list[int | None]:
    """The width of each column such that the table fits and no word is broken.

    All are None, which leaves it to the library, where everything fits anyway or the longest words alone do not.
    """
    whole = [max(map(len, column)) for column in zip(*lines, strict=True)]
    words = [
        max(len(word) for cell in column for word in (cell.split() or [""])) for column in zip(*lines, strict=True)
    ]
    left = room - GAP * (len(whole) - 1) - sum(words)
    if left < 0 or sum(whole) + GAP * (len(whole) - 1) <= room:
        return [None] * len(whole)
    widths: list[int | None] = list(words)
    # The columns that need least come first, so that the widest gets all that they leave.
    order = sorted(range(len(whole)), key=lambda index: whole[index] - words[index])
    for count, index in enumerate(order):
        more = min(whole[index] - words[index], left // (len(order) - count))
        widths[index] = words[index] + more
        left -= more
    return widths


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
