"""``alcli push``."""

from __future__ import annotations

import click

from alcli.cli import options
from alcli.cli.console import ending


@click.command(short_help="Put the list into the annotators' queue.")
@options.top
@options.dry_run
@options.shared
def command(session: options.Session, top: int | None, dry_run: bool) -> int:
    """Put the ranked list into the platform's queue, then read it back and compare.

    Images annotated or deleted since the pull are left out. A second push changes nothing.

    \b
    Examples:
      alcli push --dry-run
      alcli push --top 500
    """
    from alcli.steps.push import push

    with session.writing() as context:
        result = push(context, top=top, dry_run=dry_run)
    summary = result.summary
    session.console.problems(result.problems)
    what = "Would push" if dry_run else "Pushed"
    session.console.result(
        {"cycle": result.cycle, "dry_run": dry_run, **summary},
        f"{what} {summary['queued']} images: {summary['changes']} changes ({summary['new']} new, "
        f"{summary['moved']} moved, {summary['leaving']} leaving, {summary['left_out']} left out).",
    )
    return ending(result.problems)
