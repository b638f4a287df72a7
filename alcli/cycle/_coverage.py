"""The order of images that a model says nothing about: as their embeddings say, where there are any."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from alcli.artifacts.predictor import Predictor
from alcli.artifacts.scoring_pass import ScoringPass
from alcli.context import Context
from alcli.items import LABELED, Item
from alcli.vectors.kcenter import greedy_or_approximate
from alcli.vectors.ranking import picks_first, three_digits

EMBEDDING = frozenset({"embedding"})
FOLDER = "signals-unknown"


def order_by_coverage(
    context: Context, cycle: int, predictor: Predictor, unknown: Sequence[Item], asked: Sequence[Item]
) -> list[Item]:
    """Sort items without a prediction: each the farthest from all annotated, asked and earlier ones.

    Those without an embedding follow in the order of their ids; so do all where nothing has embeddings.
    """
    ordered = sorted(unknown, key=lambda item: item.id)
    if not ordered or not predictor.signal_names >= EMBEDDING:
        return ordered
    blind = {item.id for item in predictor.unknown(ordered, EMBEDDING)}
    seen = [item for item in ordered if item.id not in blind]
    if not seen:
        return ordered
    labeled = context.workspace.store.pool().in_state(LABELED)
    covered = list({item.id: item for item in (*labeled, *asked)}.values())
    signals = ScoringPass(context, cycle, predictor).signals(EMBEDDING, [*seen, *covered], FOLDER)
    signals = signals.take(signals.finite())
    here = {item.id for item in seen}
    is_seen = np.array([item_id in here for item_id in signals.item_ids], dtype=bool)
    pool, centers = signals.take(np.flatnonzero(is_seen)), signals.take(np.flatnonzero(~is_seen))
    cover = greedy_or_approximate(
        pool.matrix("embedding"),
        context.config.selection.budget_of(len(pool)),
        centers.matrix("embedding"),
        np.random.default_rng(0),
    )
    scores = dict(zip(pool.item_ids, picks_first(cover.picks, three_digits(cover.distances())).tolist(), strict=True))
    return sorted(ordered, key=lambda item: (-scores.get(item.id, -np.inf), item.id))
