"""Move the ranked list into the annotators' queue."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from alcli.cli import _options as options

if TYPE_CHECKING:
    from alcli.workspace.records import Pushed


@click.command()
@options.top
@click.option("--assign", metavar="USER[,USER…]", help="Assign the selected images to these annotators, round robin.")
@click.option("--status", default="", metavar="NAME", help="Set this workflow status on the selected images.")
@click.option("--subset", default="", metavar="NAME", help="Add the selected images to a subset, such as cycle-0007.")
@click.option("--prelabels", is_flag=True, help="Upload predictions for the selected images; statuses are kept.")
@click.option("--restore", is_flag=True, help="Restore the queue from before the newest cycle's push.")
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
    """Write the ranked list to the platform's queue, then read the queue back to verify it.

    The selected images are those at the head of the list that fill the cycle's budget. Images that were annotated,
    assigned or deleted since the pull are left out. Pushing the same list again changes nothing.

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
        raise click.UsageError("--restore can only be combined with --dry-run.")
    with session.lock_workspace(wait) as context:
        if restore:
            result = push.restore(context, dry_run)
        else:
            result = push.push(context, top=top, dry_run=dry_run, handover=handover)
        code = session.exit_code(result.problems)
    problems = [{"name": refusal.name, "reason": refusal.reason} for refusal in result.problems]
    session.console.problems(result.problems)
    session.console.result(
        {"cycle": result.cycle, "dry_run": dry_run, **result.summary.document(), "problems": problems},
        _text(result.summary, dry_run, restore),
    )
    return code


def _text(summary: Pushed, dry_run: bool, restore: bool) -> str:
    from alcli.system.text import quantity

    verbs = ("Would restore", "Restored") if restore else ("Would push", "Pushed")
    left_out = {
        "already labeled": summary.already_labeled,
        "assigned": summary.assigned,
        "vanished": summary.vanished,
    }
    named = [f"{count} {reason}" for reason, count in left_out.items() if count]
    why = f": {', '.join(named)}" if named else ""
    again = f" {quantity(summary.rechecks, 'annotation')} to review." if summary.rechecks else ""
    changes = quantity(summary.changes, "change")
    return (
        f"{verbs[not dry_run]} {quantity(summary.queued, 'image')}: {changes} ({summary.new} new, "
        f"{summary.moved} moved, {summary.leaving} removed, {summary.left_out} left out{why}).{again}"
    )
