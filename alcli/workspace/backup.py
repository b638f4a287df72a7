"""Backups of a workspace: taken while it is in use, and verified before they count as complete."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alcli import config
from alcli.errors import UsageError, WorkspaceDamaged
from alcli.system.files import sync_folder, sync_tree
from alcli.system.hashing import sha256_of
from alcli.workspace import DATABASE, Workspace, database
from alcli.workspace.received import check_backup
from alcli.workspace.records import Exported, Scored, StepRecord, Training
from alcli.workspace.store import Store

UNFINISHED = ".unfinished"
UNRECORDED = ("config.json", "metrics.json", "priorities.wide.csv", "report.html", "queue-before*.csv")
"""Files of a cycle that no step names: settings, what came of it, and the queue that `push --restore` puts back."""


def backup(
    workspace: Workspace, destination: Path, leave_out_damaged: bool = False, to_work_with: bool = False
) -> tuple[int, list[Path]]:
    """Copy settings, database and the files of finished steps into a new folder.

    Files that can be recreated (downloaded images, signals) are left out. The workspace may be in use.

    Args:
        leave_out_damaged: leave out files that are missing or changed, and the steps that wrote them.
        to_work_with: prepare the database for its first writer, who could be killed at it.

    Returns:
        The number of files, and those left out.

    Raises:
        UsageError: the destination exists.
        WorkspaceDamaged: a file has changed since it was written, so a backup would be worthless.
    """
    _check_new(destination)
    with _new_folder(destination) as building:
        for folder in ("cycles", "cache", "logs"):
            (building / folder).mkdir(mode=0o700)
        shutil.copy2(workspace.root / config.FILE_NAME, building / config.FILE_NAME)
        workspace.copy_database(building / DATABASE)
        (building / DATABASE).chmod(0o600)
        copy = Workspace.open(building, read_only=True)
        try:
            count, damaged = _copy_files(copy, workspace.root, building, leave_out_damaged)
            count += _copy_unrecorded(workspace.root, building, [cycle.number for cycle in copy.store.cycles()])
        finally:
            copy.close()
        _forget(building, damaged)
        if to_work_with:
            database.switch_to_log(building / DATABASE)
    return count, [workspace.root / record.file.relative_to(building) for record in damaged if record.file]


@contextmanager
def _new_folder(destination: Path) -> Iterator[Path]:
    """A folder of its own name that becomes the destination when the block ends without an error."""
    destination.parent.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(UNFINISHED, f"{destination.name}.", destination.parent))
    try:
        yield building
        # Only what is on the disk gets the final name: a folder without the suffix is complete.
        sync_tree(building)
        building.rename(destination)
    except BaseException:
        shutil.rmtree(building, ignore_errors=True)
        raise
    sync_folder(destination.parent)


def restore(source: Path, destination: Path) -> int:
    """Create a workspace from a backup; returns the number of files.

    Raises:
        UsageError: the destination exists, or the source is not a backup.
        WorkspaceDamaged: the backup has changed since it was written.
        DataError: it holds links, or a database with triggers and the like; somebody else has made it.
    """
    if not (source / DATABASE).is_file() or source.name.endswith(UNFINISHED):
        raise UsageError(f"{source} is not a complete backup.", do="Name a folder that `alcli backup` created.")
    check_backup(source)
    copy = Workspace.open(source, read_only=True)
    try:
        return backup(copy, destination, to_work_with=True)[0]
    finally:
        copy.close()


def _check_new(destination: Path) -> None:
    if destination.exists():
        raise UsageError(f"{destination} exists.", do="Choose a new folder; alcli never overwrites one.")


def _copy_files(
    copy: Workspace, root: Path, building: Path, leave_out_damaged: bool
) -> tuple[int, list[StepRecord[Any]]]:
    """Copy every file that the copied database names, and compare it with its SHA-256."""
    count = 0
    damaged: list[StepRecord[Any]] = []
    records = [record for kind in (Training, Scored, Exported) for record in copy.all_steps(kind)]
    for record in records:
        if record.file is None:
            continue
        relative = record.file.relative_to(building)
        (building / relative).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if (root / relative).is_file():
            shutil.copy2(root / relative, building / relative)
        if not (building / relative).is_file() or sha256_of(building / relative) != record.sha256:
            if leave_out_damaged:
                (building / relative).unlink(missing_ok=True)
                damaged.append(record)
                continue
            raise WorkspaceDamaged(
                f"{root / relative} has changed since cycle {record.cycle} wrote it.",
                kept="The workspace was not changed; the copy is not complete.",
                do=_advice(copy, record),
            )
        count += 1
    return count, damaged


def _copy_unrecorded(root: Path, building: Path, cycles: Sequence[int]) -> int:
    """Copy what else lies in the folders of the cycles; returns the number of files."""
    count = 0
    for cycle in cycles:
        folder = Path("cycles") / f"{cycle:04d}"
        for path in (path for name in UNRECORDED for path in sorted((root / folder).glob(name))):
            if path.is_symlink() or not path.is_file():
                continue
            (building / folder).mkdir(mode=0o700, parents=True, exist_ok=True)
            shutil.copy2(path, building / folder / path.name)
            count += 1
    return count


def _forget(building: Path, damaged: Sequence[StepRecord[Any]]) -> None:
    """Drop the steps whose files are left out, so that the copy is consistent."""
    if not damaged:
        return
    connection = database.connect(building / DATABASE, read_only=False)
    try:
        for record in damaged:
            Store(connection).drop_step(record.cycle, record.summary.step)
    finally:
        connection.close()


def _advice(copy: Workspace, record: StepRecord[Any]) -> str:
    step = record.summary.step
    newest = copy.store.newest_step(step)
    again = f"Run `alcli {step}` again, then the backup; or" if newest == record.cycle else "Put the file back, or"
    return f"{again} add --leave-out-damaged to leave out that step of cycle {record.cycle}."
