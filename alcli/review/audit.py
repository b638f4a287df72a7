"""Which of the annotations should be looked at again, judged by every model that has met them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from alcli.annotations import Annotation, in_words
from alcli.context import Context
from alcli.items import LABELED, Item
from alcli.review.differences import Difference, difference, excess
from alcli.review.predictions import look
from alcli.review.retrospective import Outcome
from alcli.system.files import SHARED, atomic_write
from alcli.system.hashing import sha256_of_text
from alcli.system.tables import plain, write_rows
from alcli.workspace import StepRecord

STEP = "audit"
FILE_NAME = "audit.csv"
COLUMNS = ("rank", "name", "folder", "id", "excess", "kind", "detail", "annotated", "model_sees")
SUSPICIOUS = 3.0
"""Spreads above what was to be expected; of values that err normally one in 700 lies there."""
MOST = 200
"""Rows of ``audit.csv``, the most suspicious first."""
MOST_ITEMS = 2000
"""Annotated images that the newest model looks at again; of more, evenly chosen ones."""


@dataclass(frozen=True)
class Suspect:
    """An annotated item whose loss lies far above what was to be expected.

    Attributes:
        excess: of its loss, in spreads; the mean where several models judged it.
        said: what a person said, in pixels of the upright image. seen: what the newest model sees.
    """

    item: Item
    excess: float
    difference: Difference
    said: Annotation
    seen: Annotation
    path: Path


def audit(context: Context, training: StepRecord | None, found: Mapping[int, Sequence[Outcome]]) -> list[Suspect]:
    """The suspicious annotations, most suspicious first.

    The fair judges are the models that were not trained on an item: each earlier cycle's on what was annotated after it
    (``found``), and the newest on what is held out. Of what has no fair judge, as the first annotations, the newest
    model judges although it may have learnt the error; then only what it still disagrees with is told.
    """
    if training is None or training.file is None:
        return []
    trained_on, held_out = _by_newest(context, training)
    groups = [[(row.item_id, row.true, row.predicted) for row in rows] for rows in found.values()]
    fair = _judged([*groups, held_out])
    excesses = _judged([trained_on]) | fair
    suspicious = (item_id for item_id, value in excesses.items() if value >= SUSPICIOUS)
    ranked = sorted(suspicious, key=lambda item_id: (-excesses[item_id], item_id))[:MOST]
    rows = _looked_at(context, training, {item_id: excesses[item_id] for item_id in ranked})
    return [row for row in rows if row.item.id in fair or not row.difference.agrees]


def write(path: Path, suspects: Sequence[Suspect]) -> None:
    """Write ``audit.csv``, most suspicious first."""
    with atomic_write(path, permissions=SHARED) as stream:
        write_rows(stream, COLUMNS, (_row(rank, suspect) for rank, suspect in enumerate(suspects, 1)))


def _row(rank: int, suspect: Suspect) -> list[object]:
    item, told = suspect.item, suspect.difference
    said, seen = in_words(suspect.said), in_words(suspect.seen)
    return [rank, item.name, item.folder, item.id, plain(round(suspect.excess, 3)), told.kind, told.detail, said, seen]


def _judged(groups: Iterable[Sequence[tuple[str, float, float]]]) -> dict[str, float]:
    """item id → mean excess over the groups of (id, true, predicted) in which it stands."""
    values: dict[str, list[float]] = defaultdict(list)
    for rows in groups:
        if rows:
            ids, true, predicted = zip(*rows, strict=True)
            for item_id, value in zip(ids, excess(np.array(true), np.array(predicted)).tolist(), strict=True):
                values[item_id].append(value)
    return {item_id: float(np.mean(found)) for item_id, found in values.items()}


def _by_newest(context: Context, training: StepRecord) -> list[list[tuple[str, float, float]]]:
    """(id, true, predicted) of what the model was trained on, and of what is held out."""
    workspace = context.workspace
    items = workspace.store.pool().in_state(LABELED)
    items = items[:: max(1, -(-len(items) // MOST_ITEMS))]
    versions = (part for item in items for part in (item.id, item.version))
    inputs = sha256_of_text(str(training.sha256), context.config.options_of("task").model_dump_json(), *versions)
    done = workspace.done(training.cycle, STEP, inputs)
    if done is None:
        done = workspace.finish_step(
            training.cycle, STEP, inputs, None, {"groups": _computed(context, training, items)}
        )
    return [[(item_id, true, predicted) for item_id, true, predicted in rows] for rows in done.summary["groups"]]


def _computed(context: Context, training: StepRecord, items: Sequence[Item]) -> list[list[tuple[str, float, float]]]:
    from alcli.artifacts.examples import annotated, split
    from alcli.artifacts.trained import load_trained
    from alcli.engine import inference

    task, model, loss_head, _ = load_trained(context, training)
    examples = annotated(context, task, items)
    facts = {item_id: found for item_id, (_, found) in context.workspace.store.images().items()}
    sides = split(examples, facts, float(training.summary.get("validation", 0.0)))
    options = context.config.score
    return [inference.item_losses(task, model, loss_head, side, options) if side else [] for side in sides]


def _looked_at(context: Context, training: StepRecord, excesses: Mapping[str, float]) -> list[Suspect]:
    from alcli.artifacts.examples import annotated
    from alcli.artifacts.trained import load_trained

    if not excesses:
        return []
    items = context.workspace.store.pool().items
    looked = look(context, training, [items[item_id] for item_id in excesses])
    task, _, _, _ = load_trained(context, training)
    examples = {row.item.id: row for row in annotated(context, task, [items[item_id] for item_id in excesses])}
    rows = []
    for item_id, value in excesses.items():
        seen, example = looked.said.get(item_id), examples.get(item_id)
        if seen is not None and example is not None and example.annotation is not None:
            told = difference(example.annotation, seen)
            sure = seen if seen.labels else seen.confident(context.config.platform.prelabel_score)
            rows.append(Suspect(example.item, value, told, example.annotation, sure, example.path))
    return rows
