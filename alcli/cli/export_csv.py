"""Write the ranked list as a CSV file."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from alcli.cli import _options as options

if TYPE_CHECKING:
    from alcli.cli._console import Console
    from alcli.items import QueryRow
    from alcli.priorities import Origin

STDOUT = Path("-")


@click.command()
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("priorities.csv"),
    show_default=True,
    help="File to write; - is stdout.",
)
@options.top
@options.shared
def command(session: options.Session, output: Path, top: int | None) -> int:
    """Write the ranked list as a CSV file with the columns name,entropy_value, best image first.

    SuperAnnotate imports exactly these two columns. entropy_value is derived from the rank, so that sorting by it
    restores the order. A second file, NAME.wide.csv, has rank, raw score, percentile, cycle, strategy and model.

    \b
    Examples:
      alcli export-csv -o priorities.csv
      alcli export-csv --top 100 -o - | head
    """
    from alcli.artifacts.scores import current_list, last_scores
    from alcli.config import load
    from alcli.context import Context
    from alcli.cycle.export import origin
    from alcli.system.progress import Silent

    check_output(session.console, output)
    with session.open_workspace() as workspace:
        context = Context(workspace, load(workspace.root, session.overrides), Silent())
        scored = last_scores(context)
        rows = current_list(context, scored, top)
    write(session.console, output, rows, origin(scored), {"cycle": scored.cycle, "head": head(rows)})
    return 0


def write(console: Console, output: Path, rows: Sequence[QueryRow], origin: Origin, document: dict[str, Any]) -> None:
    """Write the rows to a file or to stdout; after a file, show the first rows."""
    from alcli.priorities import write_files, write_narrow
    from alcli.system.text import quantity
    from alcli.workspace.database import machine_errors

    if output == STDOUT:
        write_narrow(sys.stdout, rows)
        return
    with machine_errors(output):
        wide = write_files(output, rows, origin)
    console.result({**document, "rows": len(rows), "csv": str(output), "wide_csv": str(wide) if wide else None})
    console.table(
        f"{quantity(len(rows), 'image')}, best first: {output}" + (f" (all columns: {wide.name})" if wide else ""),
        ("rank", "name", "score"),
        [(row.rank, row.item.name, f"{row.score:.6g}") for row in rows[:5]],
    )


def check_output(console: Console, output: Path | None) -> None:
    """Raise UsageError if CSV and JSON would both go to stdout."""
    from alcli.errors import UsageError

    if output == STDOUT and console.as_json:
        raise UsageError("The CSV and the JSON cannot both go to stdout.", do="Give -o a file name, or omit --json.")


def head(rows: Sequence[QueryRow], count: int = 10) -> list[dict[str, Any]]:
    """The first rows for ``--json``."""
    return [{"rank": row.rank, "name": row.item.name, "score": row.score} for row in rows[:count]]
