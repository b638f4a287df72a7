"""Copies of a workspace that can be trusted: taken while it works, checked before they are believed."""

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

    What can be made again (downloaded images, signals) is left out. The workspace may be in use.

    Raises:
        UsageError: the destination is there already.
        WorkspaceDamaged: a file is not what was written; a damaged copy helps nobody.
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
    copied = Workspace.open(building, read_only=True)
    try:
        count = _copy_files(copied, workspace.root, building)
    finally:
        copied.close()
    # The name comes last: a folder that has it is complete.
    building.rename(destination)
    sync_folder(destination.parent)
    return count


def restore(source: Path, destination: Path) -> int:
    """Make a new workspace from a backup; returns the number of files.

    Raises:
        UsageError: the destination is there already, or the source is no backup.
        WorkspaceDamaged: the backup is not what was written.
    """
    if not (source / DATABASE).is_file() or source.name.endswith(UNFINISHED):
        raise UsageError(f"{source} is no complete backup.", do="Name a folder that `alcli backup` has made.")
    copy = Workspace.open(source, read_only=True)
    try:
        return backup(copy, destination)
    finally:
        copy.close()


def _check_new(destination: Path) -> None:
    if destination.exists():
        raise UsageError(f"{destination} is there already.", do="Choose a new folder: nothing is ever written over.")


def _copy_files(copied: Workspace, root: Path, building: Path) -> int:
    """The files that the copied database speaks of, each compared with its SHA-256."""
    count = 0
    records = [record for kind in (Training, Scored, Exported) for record in copied.all_steps(kind)]
    for record in records:
        if record.file is None:
            continue
        relative = record.file.relative_to(building)
        (building / relative).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if (root / relative).is_file():
            shutil.copy2(root / relative, building / relative)
        if not (building / relative).is_file() or sha256_of(building / relative) != record.sha256:
            raise WorkspaceDamaged(
                f"{root / relative} is not what cycle {record.cycle} wrote.",
                kept="The workspace is untouched; the copy is not complete.",
                do=f"Run `alcli {record.summary.step}` again, then the backup.",
            )
        count += 1
    return count
