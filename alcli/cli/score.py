"""Rank the images that are not annotated yet."""

from __future__ import annotations

from pathlib import Path

import click

from alcli.cli import _options as options

SHOWN = 10


@click.command()
@options.strategy
@options.budget
@options.top
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="Also write the list as CSV; - is stdout."
)
@options.wait
@options.shared
def command(session: options.Session, top: int | None, output: Path | None, wait: float) -> int:
    """Rank the images that are not annotated yet, with the model of the last finished training.

    \b
    Examples:
      alcli score
      alcli score --strategy entropy --top 20
      alcli score -o - | head
    """
    from alcli.artifacts.scores import current_list, last_scores
    from alcli.cli.export_csv import check_output, head, write
    from alcli.cycle.export import origin
    from alcli.cycle.score import score
    from alcli.system.text import quantity

    check_output(session.console, output)
    with session.lock_workspace(wait) as context:
        cycles = context.workspace.store.cycles()
        number = cycles[-1].number if cycles else 0
        result = score(context, number)
        code = session.exit_code(result.problems, result.summary.collapse)
        scored = last_scores(context, number)
        rows = current_list(context, scored, top)
    session.console.problems(result.problems)
    document = {"cycle": number, **result.summary.document(), "head": head(rows)}
    if output is not None:
        write(session.console, output, rows, origin(scored), document)
    else:
        session.console.result(document)
        session.console.table(
            f"The first {min(SHOWN, len(rows))} of {quantity(len(rows), 'image')}, ranked by "
            f"{result.summary.strategy}, cycle {number}",
            ("rank", "name", "score"),
            [(row.rank, row.item.name, f"{row.score:.6g}") for row in rows[:SHOWN]],
        )
    return code
