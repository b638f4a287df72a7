"""Whole folders of images or annotations that are gone: a disk below another one that was not mounted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath

from alcli.context import Context
from alcli.errors import DataError
from alcli.items import LABELED, Item
from alcli.platforms import Foldered
from alcli.system.text import quantity
from alcli.workspace.records import WORKSPACE_CYCLE, LabelFolders

TENTH = 10


def check_image_folders(items: Sequence[Item], before: Mapping[str, Item]) -> None:
    """Raise DataError if a folder that held a tenth of the known images is empty or gone.

    Images that only moved, to another folder under the same name, are not lost.
    """
    present = {item.id for item in items}
    moved = {_base(item) for item in items if item.id not in before}
    gone = [item for item in before.values() if item.id not in present and _base(item) not in moved]
    if not gone:
        return
    left = _counts(item for item in before.values() if item.id in present) + _counts(items)
    lost = [(folder, count) for folder, count in _counts(gone).items() if not left[folder]]
    folder, count = _outermost(lost, len(before))
    if folder:
        raise loss(
            f"The folder {folder} of images is empty or gone: {count} of the {quantity(len(before), 'known image')}"
            " were in it."
        )


def check_label_folders(
    context: Context, sources: str, items: Sequence[Item], before: Mapping[str, Item]
) -> Mapping[str, int]:
    """Raise DataError if a tenth of the labels is gone, and with them what a folder of annotations held.

    Args:
        sources: changes with the settings that say where annotations are.

    Returns:
        The number of files in each folder of annotations now.
    """
    if not isinstance(context.platform, Foldered):
        return {}
    folders = context.platform.label_folders()
    record = context.workspace.step(WORKSPACE_CYCLE, LabelFolders)
    known = [item for item in before.values() if item.state == LABELED]
    if not known:
        return folders
    states = {item.id: item for item in items}
    gone = sum(_lost_its_label(item, states.get(item.id)) for item in known)
    if record is None or record.inputs != sources or TENTH * gone < len(known) or not gone:
        return folders
    lost = [(folder, count) for folder, count in record.summary.folders.items() if not folders.get(folder)]
    folder, _ = _outermost(lost, 0)
    if folder:
        raise loss(
            f"The folder {folder} of annotations is empty or gone, and with it {gone} of the {len(known)} annotations"
            " of the last pull."
        )
    return folders


def remember_label_folders(context: Context, sources: str, folders: Mapping[str, int]) -> None:
    """Record how many files each folder of annotations holds, for the next pull."""
    record = context.workspace.step(WORKSPACE_CYCLE, LabelFolders)
    if folders and (record is None or (record.inputs, record.summary.folders) != (sources, folders)):
        context.workspace.finish_step(WORKSPACE_CYCLE, sources, LabelFolders(dict(folders)))


def loss(what: str) -> DataError:
    """What a run says that would lose images or labels."""
    return DataError(
        what,
        kept="What was pulled before is kept, and the annotators' queue is unchanged.",
        do="If they were really removed, run this once with --accept-shrink.",
    )


def _lost_its_label(item: Item, now: Item | None) -> bool:
    # Of the same version, and no longer labeled: settings have changed, not the annotations.
    return now is None or (now.state != LABELED and now.version != item.version)


def _counts(items: Iterable[Item]) -> Counter[str]:
    """Images below each folder, however deep."""
    counts: Counter[str] = Counter()
    for item in items:
        counts.update(str(folder) for folder in _path(item).parents if folder.name)
    return counts


def _outermost(lost: Sequence[tuple[str, int]], total: int) -> tuple[str, int]:
    """The folder with the shortest path that held a tenth; an empty name if there is none."""
    enough = [(folder, count) for folder, count in lost if TENTH * count >= total]
    return min(enough, key=lambda pair: (len(PurePosixPath(pair[0]).parts), -pair[1], pair[0]), default=("", 0))


def _path(item: Item) -> PurePosixPath:
    return PurePosixPath(item.folder, item.name)


def _base(item: Item) -> str:
    return item.name.rpartition("/")[2]
