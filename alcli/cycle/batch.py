"""The batch for any annotation tool: the images asked for, in rank order, with predictions as pre-labels on request."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from alcli.annotations import Annotation
from alcli.artifacts.scores import current_list, last_scores
from alcli.context import Context
from alcli.cycle import _batch_writers as writers
from alcli.cycle.export import origin
from alcli.cycle.handover import make_prelabels
from alcli.errors import DataError, UsageError
from alcli.items import RECHECK, QueryRow, Refusal
from alcli.system.files import TEMPORARY_PREFIX, sync_folder, sync_tree
from alcli.system.text import did_you_mean
from alcli.workspace.records import Scored, StepRecord

MARK = ".alcli-batch"
"""The file in every folder that alcli wrote: only such a folder is ever replaced."""


@dataclass(frozen=True)
class Layout:
    """One form of a batch.

    Attributes:
        title: what it is, in a few words.
        write: called with the batch and the path of a new file, or of a new, empty folder.
        folder: whether it is a folder.
        tasks: whose predictions it can hold.
        stems: images are told apart by their names without suffix.
    """

    title: str
    write: Callable[[writers.Batch, Path], None]
    folder: bool = False
    tasks: frozenset[str] = frozenset()
    stems: bool = False


LAYOUTS: Mapping[str, Layout] = {
    "list": Layout("a text file with the path of each image", writers.write_list),
    "folder": Layout("copies of the images, prefixed by rank", writers.write_folder, folder=True),
    "coco": Layout("a COCO JSON file", writers.write_coco, tasks=frozenset({"detection", "pose", "segmentation"})),
    "yolo": Layout("a YOLO dataset", writers.write_yolo, True, frozenset({"detection"}), stems=True),
    "label-studio": Layout(
        "tasks for Label Studio's import", writers.write_label_studio, tasks=frozenset({"detection", "classification"})
    ),
    "cvat": Layout(
        "CVAT's manifest.jsonl and annotations.xml",
        writers.write_cvat,
        True,
        frozenset({"detection", "classification", "segmentation"}),
    ),
    "voc": Layout("a Pascal VOC dataset", writers.write_voc, True, frozenset({"detection"}), stems=True),
}


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        objects: predicted objects and labels in it.
        left_out: images that cannot be read now.
    """

    cycle: int
    images: int
    objects: int
    left_out: Sequence[Refusal]


def export_batch(
    context: Context,
    kind: str,
    output: Path,
    prelabels: bool = False,
    top: int | None = None,
    force: bool = False,
    link: bool = False,
) -> Exported:
    """Write the images asked for, in rank order, for another annotation tool; all of it or nothing.

    Annotated images that should be looked at again are left out.

    Args:
        kind: a name in ``LAYOUTS``.
        prelabels: add what the model predicts.
        top: the first images of the list, instead of those asked for.
        force: replace an earlier batch.
        link: link to the images instead of copying them.

    Raises:
        UsageError: an unknown kind; nothing has been ranked; there is something at ``output``; the kind cannot hold the
            predictions, or there is no model.
        DataError: two images would share a file.
    """
    layout = LAYOUTS.get(kind)
    if layout is None:
        raise UsageError(f"Unknown format {kind!r}.", do=did_you_mean(kind, list(LAYOUTS)))
    task = context.config.task.name
    if prelabels and task not in layout.tasks:
        able = [name for name, each in LAYOUTS.items() if task in each.tasks]
        hint = f"Use --to {' or '.join(able)}, or leave --prelabels out." if able else "Leave --prelabels out."
        raise UsageError(f"The format {kind} cannot hold predictions of the task {task}.", do=hint)
    _check_output(output, layout, force)
    scored = last_scores(context)
    rows = [row for row in current_list(context, scored, top) if row.source != RECHECK and (top or row.asked)]
    if not rows:
        raise UsageError("No image is asked for.", do="Run `alcli cycle` first; see `alcli status`.")
    if layout.stems:
        _check_stems(rows, kind)
    batch, left_out = _gather(context, scored, rows, prelabels, link)
    _write(layout, batch, output)
    objects = sum(_count(annotation) for annotation in batch.annotations.values())
    return Exported(scored.cycle, len(batch.rows), objects, left_out)


def _gather(
    context: Context, scored: StepRecord[Scored], rows: Sequence[QueryRow], prelabels: bool, link: bool
) -> tuple[writers.Batch, list[Refusal]]:
    """The images with their files, sizes and predictions; and those that cannot be read now."""
    from alcli.artifacts.local_images import fetch_images

    items = [row.item for row in rows]
    if prelabels:
        predictions = make_prelabels(context, scored, items)
        paths, missing, annotations = predictions.paths, dict(predictions.missing), predictions.annotations
    else:
        paths, refused = fetch_images(context, items)
        missing, annotations = {refusal.id: refusal.reason for refusal in refused}, {}
    sizes = {}
    for item_id, path in paths.items():
        try:
            sizes[item_id] = writers.image_size(path)
        except DataError as error:
            missing[item_id] = error.what
    kept = [row for row in rows if row.item.id in sizes]
    if not kept:
        raise DataError("None of the images can be read now.", do="See `alcli doctor`.")
    first = origin(scored)
    batch = writers.Batch(
        # Ranks count what is in the batch.
        [replace(row, rank=number, reason=row.reason or first.reason) for number, row in enumerate(kept, 1)],
        {item_id: Path(os.path.abspath(path)) for item_id, path in paths.items()},  # noqa: PTH100 (links stay)
        sizes,
        annotations,
        tuple(context.config.task.classes) or tuple(sorted(context.workspace.store.class_names())),
        first.model,
        context.config.task.name,
        link,
    )
    left_out = [Refusal(row.item.id, row.item.name, missing[row.item.id]) for row in rows if row.item.id in missing]
    return batch, left_out


def _check_output(output: Path, layout: Layout, force: bool) -> None:
    """Raises UsageError unless something can be written there without destroying what is not alcli's."""
    if not output.parent.is_dir():
        raise UsageError(f"There is no folder {output.parent}.", do="Make it first.")
    if not os.path.lexists(output):
        return
    if output.is_dir() and not layout.folder:
        raise UsageError(f"{output} is a folder; this format is one file.", do="Name a file: -o batch.json")
    if not force:
        raise UsageError(f"{output} exists already.", do="Name another path, or replace it with --force.")
    if layout.folder and not (output / MARK).is_file():
        raise UsageError(f"{output} was not written by alcli, and is not replaced.", do="Name another folder.")


def _check_stems(rows: Sequence[QueryRow], kind: str) -> None:
    stems: dict[PurePosixPath, str] = {}
    for row in rows:
        stem = PurePosixPath(row.item.name).with_suffix("")
        if other := stems.get(stem):
            raise DataError(
                f"{other} and {row.item.name} would share an annotation file in the format {kind}.",
                do="Use --to coco, cvat or label-studio.",
            )
        stems[stem] = row.item.name


def _write(layout: Layout, batch: writers.Batch, output: Path) -> None:
    if not layout.folder:
        layout.write(batch, output)
        return
    fresh = Path(tempfile.mkdtemp(prefix=TEMPORARY_PREFIX, dir=output.parent))
    try:
        fresh.chmod(0o755)
        layout.write(batch, fresh)
        (fresh / MARK).write_text("Written by alcli export-batch, which may replace this folder.\n")
        sync_tree(fresh)
        if output.is_dir():
            old = Path(tempfile.mkdtemp(prefix=TEMPORARY_PREFIX, dir=output.parent))
            output.rename(old / output.name)
            fresh.rename(output)
            shutil.rmtree(old)
        else:
            fresh.rename(output)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise
    sync_folder(output.parent)


def _count(annotation: Annotation) -> int:
    parts = (annotation.labels, annotation.poses or annotation.boxes, annotation.polygons, annotation.masks)
    return sum(map(len, parts))
