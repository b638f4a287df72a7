"""Create a workspace from a backup."""

from __future__ import annotations

from pathlib import Path

import click

from alcli.cli._console import Console


@click.command()
@click.argument("source", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("-w", "--workspace", type=click.Path(path_type=Path), required=True, help="Folder of the new workspace.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON document.")
@click.option("-q", "--quiet", is_flag=True, help="Print errors only.")
def command(source: Path, workspace: Path, as_json: bool, quiet: bool) -> int:
    """Create a new workspace from the backup in SOURCE; an existing workspace is never overwritten.

    \b
    Examples:
      alcli restore /backups/cells-2026-11-22 -w W2
    """
    from alcli.system.text import quantity
    from alcli.workspace.backup import restore
    from alcli.workspace.database import machine_errors

    with machine_errors(workspace):
        count = restore(source, workspace)
    Console(as_json, quiet, False).result(
        {"workspace": str(workspace), "files": count},
        f"Created {workspace} from {source}: the database and {quantity(count, 'file')}.\n"
        f"Next: alcli status -w {workspace}",
    )
    return 0
