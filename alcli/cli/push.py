"""``alcli push``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from alcli.cli import _options as options

if TYPE_CHECKING:
    from alcli.workspace.records import Pushed


@click.command(short_help="Put the list into the annotators' queue.")
@options.top
@click.option("--assign", metavar="USER[,USER…]", help="Deal the images asked for to these people, round robin.")
@click.option("--status", default="", metavar="NAME", help="Give the images asked for a status of the workflow.")
@click.option("--subset", default="", metavar="NAME", help="Put the images asked for into a subset, like cycle-0007.")
@click.option("--prelabels", is_flag=True, help="Upload the model's predictions for them; statuses are kept.")
@click.option("--restore", is_flag=True, help="Put the queue back that stood before the newest cycle's push.")
@options.dry_run
@options.wait
@options.shared
def command(
    session: options.Session,
    top: int | None,
    assign: str | None,
    status: str,
    subset: str,
    prelabels: bool,
    restore: bool,
    dry_run: bool,
    wait: float,
) -> int:
    """Put the ranked list into the platform's queue, then read it back and compare.

    Images annotated, assigned or deleted since the pull are left out. A second push changes nothing.

    \b
    Examples:
      alcli push --dry-run
      alcli push --top 500
      alcli push --assign ann@example.com,bob@example.com --prelabels
      alcli push --restore
    """
    from alcli.cycle import push
    from alcli.cycle.handover import Handover

    people = tuple(name.strip() for name in (assign or "").split(",") if name.strip())
    handover = Handover(people, status, subset, prelabels)
    if restore and (top or handover):
        raise click.UsageError("--restore goes with --dry-run only.")
    with session.writing(wait) as context:
        if restore:
            result = push.restore(context, dry_run)
        else:
            result = push.push(context, top=top, dry_run=dry_run, handover=handover)
        code = session.ending(result.problems)
    problems = [{"name": row.name, "reason": row.reason} for row in result.problems]
    session.console.problems(result.problems)
    session.console.result(
        {"cycle": result.cycle, "dry_run": dry_run, **result.summary.document(), "problems": problems},
        _text(result.summary, dry_run, restore),
    )
    return code


def _text(summary: Pushed, dry_run: bool, restore: bool) -> str:
    verbs = ("Would put back", "Put back") if restore else ("Would push", "Pushed")
    left_out = {
        "already labeled": summary.already_labeled,
        "assigned": summary.assigned,
        "vanished": summary.vanished,
    }
    named = [f"{count} {reason}" for reason, count in left_out.items() if count]
    why = f": {', '.join(named)}" if named else ""
    again = f" {summary.rechecks} annotations to look at again." if summary.rechecks else ""
    return (
        f"{verbs[not dry_run]} {summary.queued} images: {summary.changes} changes ({summary.new} new, "
        f"{summary.moved} moved, {summary.leaving} leaving, {summary.left_out} left out{why}).{again}"
    )
