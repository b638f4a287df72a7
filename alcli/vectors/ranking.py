"""From picks and groups to the one column of scores that a strategy returns."""

from __future__ import annotations

import numpy as np


def top_k(scores: np.ndarray, count: int) -> np.ndarray:
    """Rows of the largest scores, best first, equal ones by lowest row; without sorting the others."""
    count = min(count, len(scores))
    if count <= 0:
        return np.zeros(0, dtype=np.int64)
    least = np.partition(scores, len(scores) - count)[len(scores) - count]
    above = np.flatnonzero(scores > least)
    rows = np.concatenate([above, np.flatnonzero(scores == least)[: count - len(above)]])
    return rows[np.argsort(-scores[rows], kind="stable")]


def picks_first(picks: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(n,) scores: the picks from their number down to 1 in their order, the rest at 0 and below.

    Args:
        picks: rows, the first is asked for first.
        others: (n,) the order of what was not picked, higher first; equal values stay equal.
    """
    values, places = np.unique(others, return_inverse=True)
    scores = (places - (len(values) - 1)).astype(np.float64)
    scores[picks] = np.arange(len(picks), 0, -1)
    return scores


def by_turns(groups: np.ndarray, within: np.ndarray, turn: np.ndarray) -> np.ndarray:
    """(n,) scores that take one item of each group, then a second of each, and so on.

    Args:
        groups: (n,) group numbers.
        within: (n,) the order inside a group, higher first, then by row.
        turn: (n,) the order inside a turn, higher first, then by row.
    """
    rows = np.arange(len(groups))
    order = np.lexsort((rows, -within, groups))
    starts = np.flatnonzero(np.diff(groups[order], prepend=np.nan) != 0)
    sizes = np.diff(np.append(starts, len(order)))
    turns = np.empty(len(order), dtype=np.int64)
    turns[order] = np.arange(len(order)) - np.repeat(starts, sizes)
    return picks_first(np.lexsort((rows, -turn, turns)), np.zeros(len(groups)))


def three_digits(values: np.ndarray) -> np.ndarray:
    """The values without the digits that a matrix product leaves to the machine, for orders that need no more."""
    mantissas, exponents = np.frexp(values.astype(np.float64))
    return np.ldexp(np.round(mantissas * 1024), exponents - 10)
