"""``alcli health``."""

from __future__ import annotations

import time

import click

from alcli.cli import _options as options
from alcli.system.clock import utc

STALE = 6


@click.command(short_help="Say whether the nightly runs are well; for monitors.")
@click.option(
    "--max-age",
    type=options.Duration(),
    default="26h",
    show_default=True,
    help="How long ago the last good run may be: 90s, 30m, 26h, 7d.",
)
@options.shared
def command(session: options.Session, max_age: float) -> int:
    """Say whether `alcli cycle` has lately ended well: exit 0, else that of the failed run; 6 when none has run.

    \b
    Examples:
      alcli health -w W --max-age 26h
      alcli health -w W --json
    """
    from alcli.workspace import heartbeat

    with session.reading() as workspace:
        beat = heartbeat.read(workspace.root)
    age = beat.age(time.time())
    code = beat.exit_code if beat.failures else 0 if age <= max_age else STALE
    document = {
        "healthy": code == 0,
        "last_run": utc(beat.ended),
        "last_exit_code": beat.exit_code if beat.ended else None,
        "last_success": utc(beat.succeeded),
        "consecutive_failures": beat.failures,
        "message": beat.message,
    }
    session.console.result(document, _text(document, code, max_age))
    return code


def _text(document: dict, code: int, max_age: float) -> str:
    if code == 0:
        return f"Healthy: the last good run ended {document['last_success']}."
    if document["consecutive_failures"]:
        return (
            f"Failing: {document['consecutive_failures']} runs in a row, the last {document['last_run']} with exit "
            f"{code}: {document['message']} The last good run: {document['last_success']}."
        )
    return f"Stale: the last good run is older than {max_age / 3600:g} hours: {document['last_success']}."
