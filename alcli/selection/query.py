"""Ranks items by the scores of a strategy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from alcli.errors import DataError
from alcli.items import AL, RANDOM, Item, QueryRow, Refusal
from alcli.signals import Signals
from alcli.strategies import QueryStrategy


@dataclass(frozen=True)
class Query:
    """A ranked list.

    Attributes:
        rows: best first, ranks 1..n without ties or gaps.
        unscored: items left out because a signal or their score is not finite.
        all_equal: every score is the same, so that the order is only that of the names.
        put_off: rows that lost their place to one they are too much alike, or of the same group.
    """

    rows: Sequence[QueryRow]
    unscored: Sequence[Refusal]
    all_equal: bool
    put_off: int = 0

    @property
    def at_random(self) -> int:
        """How many of the rows asked for chance chose."""
        return sum(row.asked and row.arm == RANDOM for row in self.rows)


CONTROL = "random control"
"""The reason of a row that chance chose, so that what the strategy gains over chance can be measured."""


def select(
    strategy: QueryStrategy,
    signals: Signals,
    items: Mapping[str, Item],
    budget: int,
    seed: int,
    random_share: float = 0.0,
) -> Query:
    """Rank every item of the signals by the strategy's scores; equal scores by item id.

    The result depends neither on the order of the rows nor on the machine.

    Args:
        budget: how many of the first rows are marked as asked for.
        seed: of the strategy's random numbers.
        random_share: share of the budget that is drawn evenly from all items instead, and spread evenly over it, so
            that a list worked through in part holds the same share. Such rows say ``random control`` as their reason.

    Raises:
        DataError: the strategy returned an array of another shape than (n,).
    """
    signals = signals.sort_by_id()
    if signals.labeled is not None:
        signals = replace(signals, labeled=signals.labeled.take(signals.labeled.finite()))
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
    control = _control(len(order), budget, random_share, seed)
    order = _with_control(order, control, budget)
    chosen = set(control.tolist())
    rows = [
        QueryRow(
            rank,
            items[ids[row]],
            float(scores[row]),
            rank <= budget,
            _details(rank, len(order), row in chosen),
            RANDOM if row in chosen else AL,
        )
        for rank, row in enumerate(order.tolist(), 1)
    ]
    return Query(rows, unscored, len(scores) > 1 and bool((scores == scores[0]).all()))


def with_rechecks(query: Query, rechecks: Sequence[QueryRow]) -> Query:
    """The same rows and, evenly among those asked for, annotated ones to look at again; ranks 1..n again."""
    if not rechecks:
        return query
    count, asked = len(query.rows) + len(rechecks), sum(row.asked for row in query.rows) + len(rechecks)
    places = set(_even(len(rechecks), asked).tolist())
    again, rest = iter(rechecks), iter(query.rows)
    ordered = [next(again) if place in places else next(rest) for place in range(count)]
    return replace(query, rows=[with_rank(row, rank, count, rank <= asked) for rank, row in enumerate(ordered, 1)])


def with_rank(row: QueryRow, rank: int, count: int, asked: bool) -> QueryRow:
    """Give a row another rank in a list of ``count`` rows, and the percentile that follows from it."""
    return replace(row, rank=rank, asked=asked, details={**row.details, **_details(rank, count, False)})


def _control(count: int, budget: int, share: float, seed: int) -> np.ndarray:
    """Rows drawn without looking at any score; a share of less than one row is one row now and then."""
    rng = np.random.default_rng((seed, 1))
    wanted = int(share * min(budget, count) + rng.random())
    return rng.choice(count, size=wanted, replace=False)


def _with_control(order: np.ndarray, control: np.ndarray, budget: int) -> np.ndarray:
    """The rows in their order, the control rows at even distances within the budget."""
    if not len(control):
        return order
    rest = order[~np.isin(order, control)]
    places = _even(len(control), min(budget, len(order)))
    mixed = np.empty_like(order)
    mixed[places] = control
    mixed[np.setdiff1d(np.arange(len(order)), places)] = rest
    return mixed


def _even(count: int, among: int) -> np.ndarray:
    """(count,) places at even distances among so many."""
    return ((np.arange(count) + 0.5) * among / count).astype(np.int64)


def _details(rank: int, count: int, control: bool) -> dict[str, str]:
    """The share of the other items that come later, in percent; and why, where chance chose."""
    percentile = {"score_percentile": f"{100 * (count - rank) / max(count - 1, 1):.2f}"}
    return {**percentile, "reason": CONTROL} if control else percentile


def _unscored(item: Item, signals: Signals, row: int) -> Refusal:
    broken = [name for name, array in sorted(signals.arrays.items()) if not np.isfinite(array[row]).all()]
    return _refusal(item, f"the signal {', '.join(broken)} is not finite")


def _refusal(item: Item, reason: str) -> Refusal:
    return Refusal(item.id, item.name, reason, item.version)
