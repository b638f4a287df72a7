"""What a trained model predicts on a few images, and which labeled images they resemble."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from alcli.annotations import Annotation
from alcli.artifacts.local_images import fetch_images
from alcli.artifacts.predictor import Predictor
from alcli.artifacts.scoring_pass import ScoringPass
from alcli.context import Context
from alcli.items import LABELED, Item
from alcli.tasks import Example
from alcli.vectors.neighbors import center_and_scale, nearest
from alcli.vectors.rows import Rows, evenly_spaced

MOST_LABELED = 2000
"""Labeled images, evenly spaced, among which the nearest is searched."""
EMBEDDING = frozenset({"embedding"})


@dataclass(frozen=True)
class Predictions:
    """A model's predictions, by item id.

    Attributes:
        paths: local files. missing: why an image cannot be read now.
        annotations: what the model would annotate; empty before the first model.
    """

    paths: Mapping[str, Path]
    missing: Mapping[str, str]
    annotations: Mapping[str, Annotation] = field(default_factory=dict)


def predict(context: Context, predictor: Predictor | None, items: Sequence[Item]) -> Predictions:
    """Fetch the images, and predict what is on them where there is a trained model."""
    paths, refused = fetch_images(context, items)
    missing = {refusal.id: refusal.reason for refusal in refused}
    if predictor is None:
        return Predictions(paths, missing)
    examples = [Example(item, paths[item.id]) for item in items if item.id in paths]
    annotations = {}
    with context.progress.track("Predicting", len(examples)) as advance:
        for annotation in predictor.predictions(examples):
            annotations[annotation.item_id] = annotation
            advance(1)
    return Predictions(paths, missing, annotations)


def nearest_labeled(
    context: Context, cycle: int, predictor: Predictor | None, items: Sequence[Item]
) -> dict[str, Item]:
    """For each item, return the nearest labeled item in embedding space. Empty without a model or without labels."""
    labeled = evenly_spaced(context.workspace.store.pool().in_state(LABELED), MOST_LABELED)
    if predictor is None or not labeled or not items or "embedding" not in predictor.signal_names:
        return {}
    scoring = ScoringPass(context, cycle, predictor)
    ours = scoring.signals(EMBEDDING, items, "signals-report")
    theirs = scoring.signals(EMBEDDING, labeled, "signals-labeled")
    if not len(ours) or not len(theirs):
        return {}
    both = center_and_scale(np.concatenate([ours["embedding"], theirs["embedding"]]).astype(np.float32))
    indices, _ = nearest(Rows(both[: len(ours)], np.float64), both[len(ours) :])
    by_id = {item.id: item for item in labeled}
    pairs = zip(ours.item_ids, (theirs.item_ids[index] for index in indices.tolist()), strict=True)
    # An item that has been labeled since the list was made is nearest to itself, which helps nobody.
    return {item_id: by_id[labeled_id] for item_id, labeled_id in pairs if item_id != labeled_id}
