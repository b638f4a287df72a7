"""Copy the workspace, even while it is in use."""

from __future__ import annotations

from pathlib import Path

import click

from alcli.cli import _options as options
from alcli.errors import DONE, PARTIAL


@click.command()
@click.argument("destination", type=click.Path(path_type=Path))
@click.option("--leave-out-damaged", is_flag=True, help="Leave out missing and changed files, and their steps.")
@options.shared
def command(session: options.Session, destination: Path, leave_out_damaged: bool) -> int:
    """Copy settings, database, models and lists into a new folder DESTINATION, and verify every file's SHA-256.

    Downloaded images are not copied, because they can be downloaded again. The copy is a workspace itself; `alcli
    restore` creates a working one from it.

    \b
    Examples:
      alcli backup -w W /backups/cells-2026-11-22
    """
    from alcli.system.text import quantity
    from alcli.workspace.backup import backup
    from alcli.workspace.database import machine_errors

    with session.open_workspace() as workspace, machine_errors(destination):
        count, left_out = backup(workspace, destination, leave_out_damaged)
    named = "".join(f"Left out, because it is missing or has changed: {path}\n" for path in left_out)
    session.console.result(
        {"destination": str(destination), "files": count, "left_out": [str(path) for path in left_out]},
        f"{named}Copied the database and {quantity(count, 'file')} to {destination}.\n"
        f"To restore: alcli restore {destination} -w NEW",
    )
    return PARTIAL if left_out else DONE
