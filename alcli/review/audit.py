"""Which labels should be looked at again, judged by every model that has seen them."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from alcli.annotations import Annotation, in_words
from alcli.artifacts.examples import annotated_examples
from alcli.artifacts.predictor import Predictor
from alcli.artifacts.sides import recorded_sides, split_held_out
from alcli.context import Context
from alcli.items import LABELED, Item, fingerprint
from alcli.review.differences import Difference, difference, excess
from alcli.review.predictions import predict
from alcli.review.retrospective import ItemLoss, Outcome
from alcli.system.files import SHARED, atomic_write
from alcli.system.hashing import sha256_of_text
from alcli.system.tables import plain, write_rows
from alcli.vectors.rows import evenly_spaced
from alcli.workspace.records import Summary

FILE_NAME = "audit.csv"
COLUMNS = ("rank", "name", "folder", "id", "excess", "kind", "detail", "annotated", "model_sees")
SUSPICIOUS = 3.0
"""Spreads above the expected loss; of normally distributed errors one in 700 lies above."""
FLOORS, FLOOR = {"map": 0.4, "oks_ap": 0.4}, 0.6
"""The main metric below which a model's doubts are noise: opened one by one, with better models three of four were
real, with worse ones none of eleven."""
MOST = 200
"""Rows of ``audit.csv``, the most suspicious first."""
MOST_ITEMS = 2000
"""Labeled images, evenly spaced, on which the newest model is evaluated."""


@dataclass(frozen=True)
class Suspect:
    """A labeled item whose loss lies far above what was to be expected.

    Attributes:
        excess: how far its loss lies above the expected one, in spreads; the mean over the models that judged it.
        annotation: by a person, in pixels of the upright image. prediction: of the newest model.
    """

    item: Item
    excess: float
    difference: Difference
    annotation: Annotation
    prediction: Annotation
    path: Path


@dataclass(frozen=True)
class NewestLosses(Summary):
    """The newest model's losses on what it was trained on and on what is held out, kept so as to compute them once."""

    step = "audit"
    groups: tuple[tuple[ItemLoss, ...], tuple[ItemLoss, ...]] = ((), ())


def audit(context: Context, predictor: Predictor | None, outcomes: Mapping[int, Sequence[Outcome]]) -> list[Suspect]:
    """Find suspicious labels, most suspicious first.

    Models that were not trained on an item judge it fairly: each earlier cycle's model the items labeled after it
    (``outcomes``), and the newest model the held-out ones. Items without a fair judge, such as the first labels, are
    judged by the newest model although it may have learned the error. Of all these only labels count on which a model
    is sure of something else; the word of a model with a poor metric does not count at all.
    """
    if predictor is None or not is_credible(predictor.record.summary.metrics):
        return []
    trained_on, held_out = _newest_losses(context, predictor)
    groups = [[(row.item_id, row.true, row.predicted) for row in rows] for rows in outcomes.values()]
    fair = [*groups, held_out]
    excesses = _mean_excess([trained_on]) | _mean_excess(fair)
    suspicious = (item_id for item_id, value in excesses.items() if value >= SUSPICIOUS)
    ranked = sorted(suspicious, key=lambda item_id: (-excesses[item_id], item_id))[:MOST]
    suspects = _compare(context, predictor, {item_id: excesses[item_id] for item_id in ranked})
    losses = {item_id: true for rows in fair for item_id, true, _ in rows}
    suspects = [_with_earlier_doubt(suspect, losses.get(suspect.item.id, 0.0)) for suspect in suspects]
    return [suspect for suspect in suspects if suspect.difference.is_sure]


def _with_earlier_doubt(suspect: Suspect, loss: float) -> Suspect:
    """A single label with the certainty of a fair judge; the newest model may have learned the error.

    Args:
        loss: of the fair judge, which for a single label is −log of the label's probability.
    """
    if len(suspect.annotation.labels) != 1 or len(suspect.prediction.labels) != 1:
        return suspect
    score = max(suspect.difference.score, 1 - math.exp(-loss))
    return replace(suspect, difference=replace(suspect.difference, score=score))


def is_credible(metrics: Mapping[str, float]) -> bool:
    """Whether a model is good enough to doubt what a person said."""
    name, value = next(iter(metrics.items()), ("", 0.0))
    return value >= FLOORS.get(name, FLOOR)


def write_audit(path: Path, suspects: Sequence[Suspect]) -> None:
    """Write ``audit.csv``, most suspicious first."""
    with atomic_write(path, permissions=SHARED) as stream:
        write_rows(stream, COLUMNS, (_line(rank, suspect) for rank, suspect in enumerate(suspects, 1)))


def _line(rank: int, suspect: Suspect) -> list[object]:
    item, how = suspect.item, suspect.difference
    texts = in_words(suspect.annotation), in_words(suspect.prediction)
    return [rank, item.name, item.folder, item.id, plain(round(suspect.excess, 3)), how.kind, how.detail, *texts]


def _mean_excess(groups: Iterable[Sequence[ItemLoss]]) -> dict[str, float]:
    """Item id → mean excess of its loss over the groups it belongs to; each group was judged by one model."""
    values: dict[str, list[float]] = defaultdict(list)
    for group in groups:
        if group:
            ids, true, predicted = zip(*group, strict=True)
            for item_id, value in zip(ids, excess(np.array(true), np.array(predicted)).tolist(), strict=True):
                values[item_id].append(value)
    return {item_id: float(np.mean(excesses)) for item_id, excesses in values.items()}


def _newest_losses(context: Context, predictor: Predictor) -> tuple[Sequence[ItemLoss], Sequence[ItemLoss]]:
    """Losses on what the model was trained on, and on what is held out."""
    workspace, record = context.workspace, predictor.record
    items = evenly_spaced(workspace.store.pool().in_state(LABELED), MOST_ITEMS)
    inputs = sha256_of_text(str(record.sha256), context.config.options_of("task").model_dump_json(), fingerprint(items))
    done = workspace.matching_step(record.cycle, NewestLosses, inputs)
    if done is None:
        trained_on, held_out = _compute_losses(context, predictor, items)
        done = workspace.finish_step(record.cycle, inputs, NewestLosses((tuple(trained_on), tuple(held_out))))
    return done.summary.groups


def _compute_losses(context: Context, predictor: Predictor, items: Sequence[Item]) -> list[list[ItemLoss]]:
    examples = annotated_examples(context, predictor.task, items)
    facts = {item_id: facts for item_id, (_, facts) in context.workspace.store.images().items()}
    sides = split_held_out(examples, recorded_sides(context, facts), predictor.record.summary.validation)
    return [predictor.losses(side) if side else [] for side in sides]


def _compare(context: Context, predictor: Predictor, excesses: Mapping[str, float]) -> list[Suspect]:
    """Compare the labels of these items with what the model predicts now."""
    if not excesses:
        return []
    items = context.workspace.store.pool().items
    predictions = predict(context, predictor, [items[item_id] for item_id in excesses])
    labeled = annotated_examples(context, predictor.task, [items[item_id] for item_id in excesses])
    examples = {example.item.id: example for example in labeled}
    least = context.config.report.confidence
    suspects = []
    for item_id, value in excesses.items():
        prediction, example = predictions.annotations.get(item_id), examples.get(item_id)
        if prediction is not None and example is not None and example.annotation is not None:
            how = difference(example.annotation, prediction)
            credible = prediction.without_unlikely_objects(least)
            suspects.append(Suspect(example.item, value, how, example.annotation, credible, example.path))
    return suspects
