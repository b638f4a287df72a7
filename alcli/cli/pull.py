"""Read images and annotations from the platform."""

from __future__ import annotations

import click

from alcli.cli import _options as options
from alcli.cli._greeting import describe, recall


@click.command()
@options.accept_shrink
@options.dry_run
@options.wait
@options.shared
def command(session: options.Session, dry_run: bool, accept_shrink: bool, wait: float) -> int:
    """Read the platform's images and annotations into the workspace; only changed annotations are read.

    \b
    Examples:
      alcli pull
      alcli pull -w W --dry-run
    """
    from alcli.annotations import passed_over_in_words
    from alcli.cycle.pull import pull
    from alcli.system.text import quantity

    with session.lock_workspace(wait) as context:
        result = pull(context, dry_run, accept_shrink)
        code = session.exit_code(result.problems)
        inventory = recall(context.workspace, context.config.task.name, str(getattr(context.platform, "title", "")))
        end = describe(inventory, context.config, context.workspace, session.given)
    summary = result.summary
    passed_over = passed_over_in_words(summary.contents.passed_over)
    changes = (
        f"{summary.new_items} new, {summary.vanished_items} vanished, "
        f"{quantity(summary.annotations_read, 'annotation')} read."
    ) + (f"\nPassed over: {passed_over}." if passed_over else "")
    session.console.problems(result.problems)
    session.console.result(
        {
            "dry_run": dry_run,
            **summary.document(),
            "found": None if dry_run else inventory.document(),
            "problems": [{"name": refusal.name, "reason": refusal.reason} for refusal in result.problems],
        },
        f"{quantity(summary.items, 'image')}, {summary.labeled} annotated; {changes} Nothing was changed."
        if dry_run
        else f"{changes}\n{end}",
    )
    return code
