"""From picks and groups to a strategy's scores."""

from __future__ import annotations

import numpy as np


def top_k(scores: np.ndarray, count: int) -> np.ndarray:
    """Indices of the largest scores, best first, ties to the lowest index; does not sort the others."""
    count = min(count, len(scores))
    if count <= 0:
        return np.zeros(0, dtype=np.int64)
    least = np.partition(scores, len(scores) - count)[len(scores) - count]
    above = np.flatnonzero(scores > least)
    rows = np.concatenate([above, np.flatnonzero(scores == least)[: count - len(above)]])
    return rows[np.argsort(-scores[rows], kind="stable")]


def picks_first(picks: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(n,) scores: k down to 1 for k picks in their order, 0 and below for the rest.

    Args:
        picks: row indices, best first.
        others: (n,) order of the rows that are not picks, higher first; equal values stay equal.
    """
    values, ranks = np.unique(others, return_inverse=True)
    scores = (ranks - (len(values) - 1)).astype(np.float64)
    scores[picks] = np.arange(len(picks), 0, -1)
    return scores


def by_turns(groups: np.ndarray, within: np.ndarray, turn: np.ndarray) -> np.ndarray:
    """(n,) scores that rank one item of each group first, then a second of each, and so on.

    Args:
        groups: (n,) group numbers.
        within: (n,) order within a group, higher first, ties to the lowest row.
        turn: (n,) order within a turn, higher first, ties to the lowest row.
    """
    rows = np.arange(len(groups))
    order = np.lexsort((rows, -within, groups))
    starts = np.flatnonzero(np.diff(groups[order], prepend=np.nan) != 0)
    sizes = np.diff(np.append(starts, len(order)))
    turns = np.empty(len(order), dtype=np.int64)
    turns[order] = np.arange(len(order)) - np.repeat(starts, sizes)
    return picks_first(np.lexsort((rows, -turn, turns)), np.zeros(len(groups)))


def three_digits(values: np.ndarray) -> np.ndarray:
    """Round to three digits: a matrix product's last digits depend on the machine, and an order must not."""
    mantissas, exponents = np.frexp(values.astype(np.float64))
    return np.ldexp(np.round(mantissas * 1024), exponents - 10)
