"""Nearest neighbors and nearest centers by matrix products, one block of rows at a time.

Distances are float64, so that comparisons of two distances agree on every machine.
"""

from __future__ import annotations

import numpy as np

from alcli.vectors.rows import Rows, mean, products, scale, slices


def center_and_scale(vectors: np.ndarray) -> Rows:
    """The vectors in float64, centered at their mean and scaled to a largest value near 1."""
    return Rows(vectors, np.float64, mean(vectors, 1000), scale(vectors))


def squared_distances(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """(n, m) float64 from (n, d) and (m, d); 0 within the rounding error."""
    ours, theirs = norms(one), norms(other)
    table = -2 * products(one, other)
    table += ours[:, None]
    table += theirs
    table[table < 1e-13 * (one.shape[1] + 16) * ours[:, None]] = 0
    return table


def norms(vectors: np.ndarray) -> np.ndarray:
    """(n,) squared lengths."""
    return np.asarray(np.einsum("ij,ij->i", vectors, vectors))


def nearest(vectors: Rows, centers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Index of each row's nearest center (n,), and its squared distance (n,); ties to the first center."""
    indices, squared = np.empty(len(vectors), dtype=np.int64), np.empty(len(vectors))
    for part in slices(len(vectors)):
        table = squared_distances(vectors[part], centers)  # (rows, centers)
        indices[part] = table.argmin(axis=1)
        squared[part] = table[np.arange(len(table)), indices[part]]
    return indices, squared


def mean_neighbor_distance(vectors: np.ndarray, count: int) -> np.ndarray:
    """Mean distance to the ``count`` nearest other rows, or to all if there are fewer: (n,)."""
    count = min(count, len(vectors) - 1)
    result = np.zeros(len(vectors))
    if count <= 0:
        return result
    for part in slices(len(vectors), 512):
        table = squared_distances(vectors[part], vectors)
        table[np.arange(len(table)), np.arange(part.start, part.stop)] = np.inf
        result[part] = np.sqrt(np.partition(table, count - 1, axis=1)[:, :count]).mean(axis=1)
    return result


def distance_to_other_groups(vectors: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Squared distance to the nearest row of another group, inf if there is none: (n,)."""
    result = np.empty(len(vectors))
    for part in slices(len(vectors), 512):
        table = squared_distances(vectors[part], vectors)
        table[groups[part][:, None] == groups] = np.inf
        result[part] = table.min(axis=1)
    return result


def count_within(vectors: Rows, targets: np.ndarray, squared_radius: float) -> np.ndarray:
    """Number of targets within the radius of each row: (n,)."""
    result = np.zeros(len(vectors), dtype=np.int64)
    if len(targets):
        for part in slices(len(vectors), 512):
            for target_part in slices(len(targets), 8192):
                table = squared_distances(vectors[part], targets[target_part])
                result[part] += np.count_nonzero(table < squared_radius, axis=1)
    return result
