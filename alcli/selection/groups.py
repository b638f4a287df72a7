"""Groups of images that show nearly the same, so that they can be kept together."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from alcli.vectors.coverage import unit_rows
from alcli.vectors.rows import evenly_spaced, products, slices

MOST_COMPARED = 1000
"""Images whose distances to each other give the typical distance."""
BLOCK = 512
ROUNDING = 1e-6
"""Distances of equal rows in float32 are not exactly 0."""


def typical_distance(vectors: np.ndarray) -> float:
    """The median cosine distance of two of the (n, d) vectors, without those of zeros; 0 with fewer than two."""
    rows = unit_rows(vectors[np.array(evenly_spaced(range(len(vectors)), MOST_COMPARED), dtype=np.int64)])
    rows = rows[rows.any(axis=1)]
    if len(rows) < 2:
        return 0.0
    distance = float(np.median(1 - products(rows, rows)[np.triu_indices(len(rows), 1)]))
    return distance if distance > ROUNDING else 0.0


def near_pairs(vectors: np.ndarray, rows: np.ndarray, limit: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pairs with one of ``rows`` in them whose cosine distance is below a limit.

    Args:
        vectors: (n, d) floating. rows: (k,) indices. limit: ≥ 0; with 0 there are none.

    Returns:
        (pairs,) each: index of the one, index of the other, distance; a pair of two of ``rows`` comes twice.
    """
    units = unit_rows(vectors)
    ones, others, distances = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)], [np.zeros(0)]
    for part in slices(len(rows), BLOCK):
        table = 1 - products(units[rows[part]], units)  # (rows, n)
        table[np.arange(len(table)), rows[part]] = np.inf
        near = np.nonzero(table < limit)
        ones.append(rows[part][near[0]])
        others.append(near[1])
        distances.append(table[near])
    return np.concatenate(ones), np.concatenate(others), np.concatenate(distances)


def connect(count: int, ones: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(count,) group numbers: indices that a chain of pairs connects are one group."""
    graph = coo_array((np.ones(len(ones)), (ones, others)), shape=(count, count))
    return np.asarray(connected_components(graph, directed=False)[1])


def pairs_of_equals(keys: Sequence[Hashable]) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of indices that connect everything with an equal key; None is equal to nothing."""
    first: dict[Hashable, int] = {}
    pairs = [(first.setdefault(key, index), index) for index, key in enumerate(keys) if key is not None]
    table = np.array([pair for pair in pairs if pair[0] != pair[1]], dtype=np.int64).reshape(-1, 2)
    return table[:, 0], table[:, 1]
