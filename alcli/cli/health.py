"""Report whether the nightly runs succeed; for monitoring."""

from __future__ import annotations

import time
from typing import Any

import click

from alcli.cli import _options as options
from alcli.errors import DONE, PARTIAL

STALE = 6


@click.command()
@click.option(
    "--max-age",
    type=options.Duration(),
    default="26h",
    show_default=True,
    help="How old the last successful run may be: 90s, 30m, 26h, 7d.",
)
@options.shared
def command(session: options.Session, max_age: float) -> int:
    """Report whether `alcli cycle` has succeeded recently.

    Exit code 0: it has. 3: it has, but the newest model collapsed, and an earlier one made the list. 6: no run has
    succeeded within --max-age, or the last one ended in the future. Otherwise: the exit code of the last, failed run.

    \b
    Examples:
      alcli health -w W --max-age 26h
      alcli health -w W --json
    """
    from alcli.curves.collapse import collapse_in_words
    from alcli.system.clock import utc
    from alcli.workspace import heartbeat
    from alcli.workspace.records import Scored

    with session.open_workspace() as workspace:
        beat = heartbeat.read(workspace.root)
        scored = workspace.newest(Scored)
    collapse = scored.summary.collapse if scored else None
    now = time.time()
    ahead = beat.is_ahead(now)
    code = beat.exit_code if beat.failures else 0 if beat.age(now) <= max_age and not ahead else STALE
    if code == DONE and collapse:
        code = PARTIAL
    document = {
        "healthy": code == 0,
        "last_run": utc(beat.ended),
        "last_exit_code": beat.exit_code if beat.ended else None,
        "last_success": utc(beat.succeeded),
        "consecutive_failures": beat.failures,
        "message": collapse_in_words(collapse) if collapse and code == PARTIAL else beat.message,
    }
    session.console.result(
        document, _text_ahead(document) if ahead and code == STALE else _text(document, code, max_age)
    )
    return code


def _text_ahead(document: dict[str, Any]) -> str:
    return (
        f"Unknown: the last run ended {document['last_run']}, which lies in the future, so a clock was wrong then "
        "or is wrong now. Correct the clock; the next run of `alcli cycle` settles it."
    )


def _text(document: dict[str, Any], code: int, max_age: float) -> str:
    from alcli.system.clock import span

    if code == PARTIAL:
        return f"Collapsed model: {document['message']}"
    if code == 0:
        return f"Healthy: the last successful run ended {document['last_success']}."
    if document["consecutive_failures"]:
        count = document["consecutive_failures"]
        runs = "the last run" if count == 1 else f"{count} runs in a row; the last one"
        return (
            f"Failing: {runs}, at {document['last_run']}, "
            f"ended with exit code {code}: {document['message']} Last successful run: {document['last_success']}."
        )
    return f"Stale: the last successful run, {document['last_success']}, is older than {span(max_age)}."
