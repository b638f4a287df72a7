"""Nearest neighbours and nearest centres by matrix products, a block of rows at a time.

In float64: what depends on comparing two distances is then the same on every machine.
"""

from __future__ import annotations

import numpy as np

from alcli.vectors.rows import Rows, mean, products, scale, slices


def prepared(vectors: np.ndarray) -> Rows:
    """The vectors in float64 around their mean, the largest value near 1."""
    return Rows(vectors, np.float64, mean(vectors, 1000), scale(vectors))


def squared_distances(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """(n, m) float64 from (n, d) and (m, d); 0 where rounding leaves nothing certain."""
    ours, theirs = norms(one), norms(other)
    table = -2 * products(one, other)
    table += ours[:, None]
    table += theirs
    table[table < 1e-13 * (one.shape[1] + 16) * ours[:, None]] = 0
    return table


def norms(vectors: np.ndarray) -> np.ndarray:
    """(n,) squared lengths."""
    return np.asarray(np.einsum("ij,ij->i", vectors, vectors))


def nearest(vectors: Rows, centres: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(places, squared distances), each (n,), of the nearest centre of each row; ties to the first centre."""
    places, squared = np.empty(len(vectors), dtype=np.int64), np.empty(len(vectors))
    for part in slices(len(vectors)):
        table = squared_distances(vectors[part], centres)
        places[part] = table.argmin(axis=1)
        squared[part] = table[np.arange(len(table)), places[part]]
    return places, squared


def mean_neighbor_distance(vectors: np.ndarray, count: int) -> np.ndarray:
    """(n,) mean distance to the ``count`` nearest other rows; fewer where there are no more."""
    count = min(count, len(vectors) - 1)
    result = np.zeros(len(vectors))
    if count <= 0:
        return result
    for part in slices(len(vectors), 512):
        table = squared_distances(vectors[part], vectors)
        table[np.arange(len(table)), np.arange(part.start, part.stop)] = np.inf
        result[part] = np.sqrt(np.partition(table, count - 1, axis=1)[:, :count]).mean(axis=1)
    return result


def nearest_stranger(vectors: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """(n,) squared distance to the nearest row of another group; infinite where there is none."""
    result = np.empty(len(vectors))
    for part in slices(len(vectors), 512):
        table = squared_distances(vectors[part], vectors)
        table[groups[part][:, None] == groups] = np.inf
        result[part] = table.min(axis=1)
    return result


def count_within(vectors: Rows, targets: np.ndarray, squared_radius: float) -> np.ndarray:
    """(n,) how many targets lie nearer to each row than the radius."""
    result = np.zeros(len(vectors), dtype=np.int64)
    if len(targets):
        for part in slices(len(vectors), 512):
            for some in slices(len(targets), 8192):
                table = squared_distances(vectors[part], targets[some])
                result[part] += np.count_nonzero(table < squared_radius, axis=1)
    return result
