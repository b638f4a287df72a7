"""Which of the annotations should be looked at again, judged by every model that has met them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from alcli.audit import Difference, difference, excess
from alcli.files import SHARED, atomic_write, sha256_of_text
from alcli.items import LABELED, Annotation, Item
from alcli.priorities import plain, write_rows
from alcli.report.words import in_words
from alcli.steps import Context
from alcli.steps.hindsight import Outcome
from alcli.steps.looking import look
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
        excess: mean over the models that judged it, in spreads.
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

    Three kinds of judges: the newest model on what it was trained on (it may have learnt the error), the same on what
    is held out, and each earlier cycle's model on what was annotated after it (``found``).
    """
    if training is None or training.file is None:
        return []
    groups = [[(row.item_id, row.true, row.predicted) for row in rows] for rows in found.values()]
    groups += _by_newest(context, training)
    judged: dict[str, list[float]] = defaultdict(list)
    for rows in groups:
        if rows:
            ids, true, predicted = zip(*rows, strict=True)
            for item_id, value in zip(ids, excess(np.array(true), np.array(predicted)).tolist(), strict=True):
                judged[item_id].append(value)
    means = {item_id: float(np.mean(values)) for item_id, values in judged.items()}
    ranked = sorted((item_id for item_id in means if means[item_id] >= SUSPICIOUS), key=lambda key: (-means[key], key))
    return _looked_at(context, training, {item_id: means[item_id] for item_id in ranked[:MOST]})


def write(path: Path, suspects: Sequence[Suspect]) -> None:
    """Write ``audit.csv``, most suspicious first."""
    with atomic_write(path, permissions=SHARED) as stream:
        write_rows(stream, COLUMNS, (_row(rank, suspect) for rank, suspect in enumerate(suspects, 1)))


def _row(rank: int, suspect: Suspect) -> list[object]:
    item, told = suspect.item, suspect.difference
    said, seen = in_words(suspect.said), in_words(suspect.seen)
    return [rank, item.name, item.folder, item.id, plain(round(suspect.excess, 3)), told.kind, told.detail, said, seen]


def _by_newest(context: Context, training: StepRecord) -> list[list[tuple[str, float, float]]]:
    """(id, true, predicted) of what the model was trained on, and of what is held out."""
    workspace = context.workspace
    items = workspace.store.pool().in_state(LABELED)
    items = items[:: max(1, -(-len(items) // MOST_ITEMS))]
    versions = (part for item in items for part in (item.id, item.version))
    inputs = sha256_of_text(str(training.sha256), context.config.task.model_dump_json(), *versions)
    done = workspace.done(training.cycle, STEP, inputs)
    if done is None:
        done = workspace.finish_step(
            training.cycle, STEP, inputs, None, {"groups": _computed(context, training, items)}
        )
    return [[(item_id, true, predicted) for item_id, true, predicted in rows] for rows in done.summary["groups"]]


def _computed(context: Context, training: StepRecord, items: Sequence[Item]) -> list[list[tuple[str, float, float]]]:
    from alcli import inference
    from alcli.steps.examples import annotated, split
    from alcli.steps.train import load_trained

    task, model, loss_head, _ = load_trained(context, training)
    examples = annotated(context, task, items)
    facts = {item_id: found for item_id, (_, found) in context.workspace.store.images().items()}
    sides = split(examples, facts, float(training.summary.get("validation", 0.0)))
    options = context.config.score
    return [inference.item_losses(task, model, loss_head, side, options) if side else [] for side in sides]


def _looked_at(context: Context, training: StepRecord, excesses: Mapping[str, float]) -> list[Suspect]:
    from alcli.steps.examples import annotated
    from alcli.steps.train import load_trained

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
