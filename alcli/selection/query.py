"""Ranks items by the scores of a strategy."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from alcli.errors import DataError
from alcli.items import AL, RANDOM, Item, QueryRow, Refusal
from alcli.signals import Signals
from alcli.strategies import QueryStrategy

CONTROL = "drawn at random, to measure the gain"
"""The reason of a row that chance chose, so that what the strategy gains over chance can be measured."""


@dataclass(frozen=True)
class Query:
    """A ranked list.

    Attributes:
        rows: best first, ranks 1..n without ties or gaps.
        unscored: items left out because a signal or their score is not finite.
        all_equal: every score is the same, so the order is just that of the ids.
        put_off: how many rows lost their rank to a near-duplicate, or to others of their group.
        shared_reasons: what more than half of the rows asked for have in common; no row repeats it.
    """

    rows: Sequence[QueryRow]
    unscored: Sequence[Refusal]
    all_equal: bool
    put_off: int = 0
    shared_reasons: Sequence[str] = ()

    @property
    def at_random(self) -> int:
        """How many of the rows asked for chance chose."""
        return sum(row.asked and row.source == RANDOM for row in self.rows)


def select(
    strategy: QueryStrategy,
    signals: Signals,
    items: Mapping[str, Item],
    budget: int,
    seed: int,
    random_share: float = 0.0,
) -> Query:
    """Rank every item of the signals by the strategy's scores; ties are broken by item id.

    The result depends neither on the order of the rows nor on the machine.

    Args:
        budget: how many of the first rows are marked as asked for.
        seed: of the strategy's random numbers.
        random_share: share of the budget that is drawn uniformly from all items and spread evenly over the budget, so
            that a list worked through in part holds the same share. Such rows have ``CONTROL`` as their reason.

    Raises:
        DataError: the strategy returned an array of another shape than (n,).
    """
    signals = signals.sort_by_id()
    if signals.labeled is not None:
        signals = replace(signals, labeled=signals.labeled.take(signals.labeled.finite()))
    finite = signals.finite()
    unscored = [_refuse_unscored(items, signals, index) for index in np.flatnonzero(~finite).tolist()]
    usable = signals.take(finite)
    scores = np.asarray(strategy.score(usable, budget, np.random.default_rng(seed)), dtype=np.float64)
    if scores.shape != (len(usable),):
        raise DataError(f"The strategy returned scores of shape {scores.shape} for {len(usable)} items.")
    finite = np.isfinite(scores)
    unscored += [
        _refuse(items[usable.item_ids[index]], f"the strategy's score is {scores[index]}")
        for index in np.flatnonzero(~finite).tolist()
    ]
    ranked = [items[usable.item_ids[index]] for index in np.flatnonzero(finite).tolist()]
    scores = scores[finite]
    rows = _rank(ranked, scores, budget, _draw_control(len(ranked), budget, random_share, seed))
    return Query(rows, unscored, len(scores) > 1 and bool((scores == scores[0]).all()))


def insert_rechecks(query: Query, rechecks: Sequence[QueryRow]) -> Query:
    """Spread annotated rows that should be looked at again evenly over the rows asked for; ranks are 1..n again."""
    if not rechecks:
        return query
    count, asked = len(query.rows) + len(rechecks), sum(row.asked for row in query.rows) + len(rechecks)
    positions = set(_even(len(rechecks), asked).tolist())
    again, rest = iter(rechecks), iter(query.rows)
    ordered = [next(again) if position in positions else next(rest) for position in range(count)]
    return replace(query, rows=number_rows(ordered, asked))


def remove_rows(query: Query, item_ids: Collection[str]) -> Query:
    """Remove rows; as many as before are asked for, as far as there are others. Ranks are 1..n again."""
    kept = [row for row in query.rows if row.item.id not in item_ids]
    if len(kept) == len(query.rows):
        return query
    return replace(query, rows=number_rows(kept, sum(row.asked for row in query.rows)))


def append_rows(query: Query, items: Sequence[Item], reason: str) -> Query:
    """Append items that could not be scored at the end, in the given order; as many as before are asked for."""
    if not items:
        return query
    last = min((row.score for row in query.rows), default=0.0)
    rows = [QueryRow(0, item, last - 1, False, AL, reason=reason) for item in items]
    return replace(query, rows=number_rows([*query.rows, *rows], sum(row.asked for row in query.rows)))


def number_rows(rows: Sequence[QueryRow], asked: int) -> list[QueryRow]:
    """Give rows that are in their final order their ranks and percentiles; the first ``asked`` are asked for."""
    # Not by ``replace``, which takes longer than all else that is done to a row of a large pool.
    return [
        QueryRow(rank, row.item, row.score, rank <= asked, row.source, percentile, row.reason)
        for rank, (row, percentile) in enumerate(zip(rows, _percentiles(len(rows)), strict=True), 1)
    ]


def _rank(items: Sequence[Item], scores: np.ndarray, budget: int, control: np.ndarray) -> list[QueryRow]:
    # Items come in the order of their ids: a stable sort makes the id the tie-break.
    order = _mix_in_control(np.argsort(-scores, kind="stable"), control, budget)
    chosen = set(control.tolist())
    sorted_rows = zip(order.tolist(), scores[order].tolist(), _percentiles(len(order)), strict=True)
    return [
        QueryRow(rank, items[index], score, rank <= budget, RANDOM, percentile, CONTROL)
        if index in chosen
        else QueryRow(rank, items[index], score, rank <= budget, AL, percentile)
        for rank, (index, score, percentile) in enumerate(sorted_rows, 1)
    ]


def _draw_control(count: int, budget: int, share: float, seed: int) -> np.ndarray:
    """(k,) indices drawn without looking at any score; a share of less than one row is one row now and then."""
    rng = np.random.default_rng((seed, 1))
    size = int(share * min(budget, count) + rng.random())
    return rng.choice(count, size=size, replace=False)


def _mix_in_control(order: np.ndarray, control: np.ndarray, budget: int) -> np.ndarray:
    """(n,) the same indices, those of ``control`` at even distances within the budget."""
    if not len(control):
        return order
    rest = order[~np.isin(order, control)]
    positions = _even(len(control), min(budget, len(order)))
    mixed = np.empty_like(order)
    mixed[positions] = control
    mixed[np.setdiff1d(np.arange(len(order)), positions)] = rest
    return mixed


def _even(count: int, length: int) -> np.ndarray:
    """(count,) positions at even distances in a list of ``length``."""
    return ((np.arange(count) + 0.5) * length / count).astype(np.int64)


def _percentiles(count: int) -> list[float]:
    """For each rank, the share of the other rows that come later, in percent, to two decimals."""
    others = max(count - 1, 1)
    return [round(100 * later / others, 2) for later in range(count - 1, -1, -1)]


def _refuse_unscored(items: Mapping[str, Item], signals: Signals, index: int) -> Refusal:
    broken = [name for name, array in sorted(signals.arrays.items()) if not np.isfinite(array[index]).all()]
    return _refuse(items[signals.item_ids[index]], f"the signal {', '.join(broken)} is not finite")


def _refuse(item: Item, reason: str) -> Refusal:
    return Refusal(item.id, item.name, reason, item.version)
