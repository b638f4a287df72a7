"""Backups of a workspace: taken while it is in use, and verified before they count as complete."""

from __future__ import annotations

import shutil
from pathlib import Path

from alcli import config
from alcli.errors import UsageError, WorkspaceDamaged
from alcli.system.files import sync_folder
from alcli.system.hashing import sha256_of
from alcli.workspace import DATABASE, Workspace
from alcli.workspace.records import Exported, Scored, Training

UNFINISHED = ".unfinished"


def backup(workspace: Workspace, destination: Path) -> int:
    """Copy settings, database and the files of finished steps into a new folder; returns the number of files.

    Files that can be recreated (downloaded images, signals) are left out. The workspace may be in use.

    Raises:
        UsageError: the destination exists.
        WorkspaceDamaged: a file has changed since it was written, so a backup would be worthless.
    """
    _check_new(destination)
    building = destination.with_name(destination.name + UNFINISHED)
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir(mode=0o700, parents=True)
    for folder in ("cycles", "cache", "logs"):
        (building / folder).mkdir(mode=0o700)
    shutil.copy2(workspace.root / config.FILE_NAME, building / config.FILE_NAME)
    workspace.copy_database(building / DATABASE)
    (building / DATABASE).chmod(0o600)
    copy = Workspace.open(building, read_only=True)
    try:
        count = _copy_files(copy, workspace.root, building)
    finally:
        copy.close()
    # Renamed last: a folder without the suffix is complete.
    building.rename(destination)
    sync_folder(destination.parent)
    return count


def restore(source: Path, destination: Path) -> int:
    """Create a workspace from a backup; returns the number of files.

    Raises:
        UsageError: the destination exists, or the source is not a backup.
        WorkspaceDamaged: the backup has changed since it was written.
    """
    if not (source / DATABASE).is_file() or source.name.endswith(UNFINISHED):
        raise UsageError(f"{source} is not a complete backup.", do="Name a folder that `alcli backup` created.")
    copy = Workspace.open(source, read_only=True)
    try:
        return backup(copy, destination)
    finally:
        copy.close()


def _check_new(destination: Path) -> None:
    if destination.exists():
        raise UsageError(f"{destination} exists.", do="Choose a new folder; alcli never overwrites one.")


def _copy_files(copy: Workspace, root: Path, building: Path) -> int:
    """Copy every file that the copied database names, and compare it with its SHA-256."""
    count = 0
    records = [record for kind in (Training, Scored, Exported) for record in copy.all_steps(kind)]
    for record in records:
        if record.file is None:
            continue
        relative = record.file.relative_to(building)
        (building / relative).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if (root / relative).is_file():
            shutil.copy2(root / relative, building / relative)
        if not (building / relative).is_file() or sha256_of(building / relative) != record.sha256:
            raise WorkspaceDamaged(
                f"{root / relative} has changed since cycle {record.cycle} wrote it.",
                kept="The workspace was not changed; the copy is not complete.",
                do=f"Run `alcli {record.summary.step}` again, then the backup.",
            )
        count += 1
    return count
