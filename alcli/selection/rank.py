"""The whole order of a list in one call, for production and for simulations alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from alcli.config import SelectionOptions
from alcli.items import Item, QueryRow
from alcli.selection.near_duplicates import move_near_duplicates
from alcli.selection.query import Query, insert_rechecks, select
from alcli.selection.reasons import Grounds, add_reasons
from alcli.signals import Signals
from alcli.strategies import QueryStrategy


@dataclass(frozen=True)
class Draw:
    """What chance decides in a list: the seed of all random numbers, and the share of the budget drawn at random."""

    seed: int
    random_share: float = 0.0


def rank(
    strategy: QueryStrategy,
    signals: Signals,
    items: Mapping[str, Item],
    options: SelectionOptions,
    draw: Draw,
    rechecks: Sequence[QueryRow] = (),
    grounds: Grounds | None = None,
) -> Query:
    """Select by score, move near-duplicates below the budget, add reasons, and insert the re-checks.

    Args:
        signals: what the strategy needs, and ``embedding`` where ``options.min_distance`` is set.
        rechecks: labeled rows to look at again; they take their part of the budget.
        grounds: what reasons are made from; without them rows get none.
    """
    budget = options.budget_of(len(items)) - len(rechecks)
    usable = signals.only(strategy.needs).with_typical_for_unknown()
    query = select(strategy, usable, items, budget, draw.seed, draw.random_share)
    query = move_near_duplicates(query, budget, signals, options.min_distance, options.per_group)
    if grounds is not None:
        reasoned = add_reasons(query.rows, grounds)
        query = replace(query, rows=reasoned.rows, shared_reasons=reasoned.shared)
    return insert_rechecks(query, rechecks)


def further_signals(options: SelectionOptions) -> frozenset[str]:
    """The signals that the order needs in addition to the strategy's own."""
    return frozenset({"embedding"}) if options.min_distance > 0 else frozenset()
