"""The only place that orders items."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from alcli.errors import DataError
from alcli.files import sha256_of_text
from alcli.items import Item, QueryRow, Refusal
from alcli.signals import Signals
from alcli.strategies import QueryStrategy


@dataclass(frozen=True)
class Query:
    """A ranked list.

    Attributes:
        rows: best first, ranks 1..n without ties or gaps.
        unscored: items left out because a signal or their score is not finite.
        all_equal: every score is the same, so that the order is only that of the names.
    """

    rows: Sequence[QueryRow]
    unscored: Sequence[Refusal]
    all_equal: bool


def select(strategy: QueryStrategy, signals: Signals, items: Mapping[str, Item], budget: int, seed: int) -> Query:
    """Rank every item of the signals by the strategy's scores; equal scores by item id.

    The result depends neither on the order of the rows nor on the machine.

    Args:
        budget: how many of the first rows are marked as asked for.
        seed: of the strategy's random numbers.

    Raises:
        DataError: the strategy returned an array of another shape than (n,).
    """
    signals = _in_order_of_ids(signals)
    finite = signals.finite()
    unscored = [_unscored(items[signals.item_ids[row]], signals, row) for row in np.flatnonzero(~finite).tolist()]
    kept = signals.take(finite)
    scores = np.asarray(strategy.score(kept, budget, np.random.default_rng(seed)), dtype=np.float64)
    if scores.shape != (len(kept),):
        raise DataError(f"The strategy gave scores of shape {scores.shape} for {len(kept)} items.")
    usable = np.isfinite(scores)
    unscored += [
        _refusal(items[kept.item_ids[row]], f"the strategy's score is {scores[row]}")
        for row in np.flatnonzero(~usable).tolist()
    ]
    ids = [kept.item_ids[row] for row in np.flatnonzero(usable).tolist()]
    scores = scores[usable]
    # Rows stand in the order of their ids: a stable sort makes the id the tie-break.
    order = np.argsort(-scores, kind="stable")
    rows = [
        QueryRow(rank, items[ids[row]], float(scores[row]), rank <= budget, _percentile(rank, len(order)))
        for rank, row in enumerate(order.tolist(), 1)
    ]
    return Query(rows, unscored, len(scores) > 1 and bool((scores == scores[0]).all()))


def seed_of(*parts: object) -> int:
    """A seed in [0, 2⁶³) that depends on the parts alone."""
    return int(sha256_of_text(*map(str, parts))[:15], 16)


def _in_order_of_ids(signals: Signals) -> Signals:
    order = sorted(range(len(signals)), key=lambda row: signals.item_ids[row])
    return signals.take(np.array(order, dtype=np.int64))


def _percentile(rank: int, count: int) -> dict[str, str]:
    """The share of the other items that come later, in percent."""
    return {"score_percentile": f"{100 * (count - rank) / max(count - 1, 1):.2f}"}


def _unscored(item: Item, signals: Signals, row: int) -> Refusal:
    broken = [name for name, array in sorted(signals.arrays.items()) if not np.isfinite(array[row]).all()]
    return _refusal(item, f"the signal {', '.join(broken)} is not finite")


def _refusal(item: Item, reason: str) -> Refusal:
    return Refusal(item.id, item.name, reason, item.version)
