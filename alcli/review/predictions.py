"""What a trained model sees in a few images, and which annotated images they are like."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from alcli import plugins
from alcli.annotations import Annotation
from alcli.artifacts.scoring_pass import signals_beside
from alcli.context import Context
from alcli.items import LABELED, Item
from alcli.vectors.neighbors import nearest, prepared
from alcli.vectors.rows import Rows
from alcli.workspace import StepRecord

MOST_LABELED = 2000
"""Annotated images among which the nearest is looked for; of more, evenly chosen ones."""
EMBEDDING = frozenset({"embedding"})


@dataclass(frozen=True)
class Looked:
    """What came of looking at items, by item id.

    Attributes:
        paths: local files. missing: why an image cannot be read now.
        said: predictions; empty before the first model.
    """

    paths: Mapping[str, Path]
    missing: Mapping[str, str]
    said: Mapping[str, Annotation] = field(default_factory=dict)


def look(context: Context, training: StepRecord | None, items: Sequence[Item]) -> Looked:
    """Fetch the images, and let the model of a finished training say what is in them."""
    from alcli.artifacts.examples import fetch
    from alcli.artifacts.trained import load_trained
    from alcli.engine import inference
    from alcli.tasks import Example

    paths, refused = fetch(context, items)
    missing = {row.id: row.reason for row in refused}
    if training is None or training.file is None:
        return Looked(paths, missing)
    task, model, _, _ = load_trained(context, training)
    examples = [Example(item, paths[item.id]) for item in items if item.id in paths]
    said = {}
    with context.progress.track("Looking at the list", len(examples)) as advance:
        for annotation in inference.predictions(task, model, examples, context.config.score):
            said[annotation.item_id] = annotation
            advance(1)
    return Looked(paths, missing, said)


def nearest_labeled(
    context: Context, cycle: int, training: StepRecord | None, items: Sequence[Item]
) -> dict[str, Item]:
    """Of each item the annotated one whose features lie nearest, where there is a model and one is annotated."""
    labeled = context.workspace.store.pool().in_state(LABELED)
    labeled = labeled[:: max(1, -(-len(labeled) // MOST_LABELED))]
    given = plugins.load("tasks", context.config.task.name).signal_names
    if training is None or training.file is None or not labeled or not items or "embedding" not in given:
        return {}
    ours = signals_beside(context, cycle, training, EMBEDDING, items, "signals-report")
    theirs = signals_beside(context, cycle, training, EMBEDDING, labeled, "signals-labeled")
    if not len(ours) or not len(theirs):
        return {}
    both = prepared(np.concatenate([ours["embedding"], theirs["embedding"]]).astype(np.float32))
    places, _ = nearest(Rows(both[: len(ours)], np.float64), both[len(ours) :])
    by_id = {item.id: item for item in labeled}
    found = {
        item_id: by_id[theirs.item_ids[place]] for item_id, place in zip(ours.item_ids, places.tolist(), strict=True)
    }
    # An item that has been annotated since the list was made is nearest to itself, which tells nobody anything.
    return {item_id: item for item_id, item in found.items() if item.id != item_id}
