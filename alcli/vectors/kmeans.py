"""k-means++ seeding in blocks, and weighted k-means.

Sequential seeding updates all distances after each draw. Here a block of rows is drawn at once, by the distances at its
start; each row is then accepted with probability (current distance) / (distance at the start), which gives exactly the
distribution of sequential draws, and one matrix product updates all distances.

Not scikit-learn's KMeans: where distances tie, its clusters differ between processors. Its mini-batches read a mapped
array into memory, and its seeding needs the vectors, which ``Products`` never computes.

Source: Arthur & Vassilvitskii, "k-means++", SODA 2007; Lloyd (1982); mini-batches: Sculley, WWW 2010.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from alcli.vectors.neighbors import center_and_scale, nearest, norms, squared_distances
from alcli.vectors.rows import Rows, products, slices

DRAWN = 64
BATCHED = 2**22
"""Rows times centers above which k-means uses mini-batches."""


class Geometry(Protocol):
    """Points that are defined by their squared distances."""

    def __len__(self) -> int:
        """The number of points."""
        ...

    def between(self, rows: slice | np.ndarray, others: np.ndarray) -> np.ndarray:
        """(rows, others) float64 squared distances; exactly 0 within the rounding error."""
        ...


class Euclidean:
    """Points as vectors."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def between(self, rows: slice | np.ndarray, others: np.ndarray) -> np.ndarray:
        """Squared Euclidean distances."""
        return squared_distances(self._rows[rows], self._rows[others])


class Products:
    """Points as outer products a ⊗ b of two vectors, which are never computed.

    ‖a⊗b − a'⊗b'‖² = ‖a‖²‖b‖² + ‖a'‖²‖b'‖² − 2 (a·a')(b·b').

    Args:
        left: (n, c) the vectors a.
        right: (n, d) the vectors b.
    """

    def __init__(self, left: Rows, right: Rows) -> None:
        self._left, self._right = left, right
        parts = [norms(left[part]) * norms(right[part]) for part in slices(len(left))]
        self.norms = np.concatenate(parts) if parts else np.zeros(0)
        """(n,) squared lengths."""

    def __len__(self) -> int:
        return len(self._left)

    def between(self, rows: slice | np.ndarray, others: np.ndarray) -> np.ndarray:
        """Squared Euclidean distances between the outer products."""
        table = products(self._right[rows], self._right[others])
        table *= products(self._left[rows], self._left[others])
        table *= -2
        ours = self.norms[rows][:, None]
        table += ours
        table += self.norms[others]
        table[table < 1e-12 * ours] = 0
        return table


def plus_plus(
    points: Geometry,
    count: int,
    rng: np.random.Generator,
    weights: np.ndarray | None = None,
    first: int | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """k-means++ seeding: draw each row with probability proportional to weight × squared distance to earlier rows.

    Args:
        count: number of rows; fewer are returned when all other rows coincide with them.
        weights: (n,) ≥ 0, all 1 by default.
        first: the first row; by default drawn by weight.

    Returns:
        Row indices in the order of drawing, and (n,) squared distances to the nearest of them.
    """
    weights = np.ones(len(points)) if weights is None else weights
    if count <= 0 or not len(points) or (first is None and not weights.any()):
        return np.zeros(0, dtype=np.int64), np.full(len(points), np.inf)
    if first is None:
        first = int(_draw(np.cumsum(weights), rng.random(1))[0])
    picks, squared = [first], np.full(len(points), np.inf)
    _lower(squared, points, picks)
    while len(picks) < count:
        total = np.cumsum(weights * squared)
        if not total[-1] > 0:
            break
        chosen = _accept(points, squared, _draw(total, rng.random(DRAWN)), rng.random(DRAWN))[: count - len(picks)]
        if chosen:
            picks += chosen
            _lower(squared, points, chosen)
    return np.array(picks, dtype=np.int64), squared


def _draw(total: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Row indices drawn by weight; ``total``: cumulative weights, ``shares``: uniform random numbers."""
    return np.minimum(np.searchsorted(total, shares * total[-1], side="right"), len(total) - 1)


def _accept(points: Geometry, squared: np.ndarray, drawn: np.ndarray, shares: np.ndarray) -> list[int]:
    """Of the drawn rows those that sequential drawing keeps; ``shares``: a uniform random number for each."""
    before, table, chosen = squared[drawn], points.between(drawn, drawn), []
    now = before.copy()
    for index, row in enumerate(drawn.tolist()):
        if shares[index] * before[index] < now[index]:
            chosen.append(row)
            np.minimum(now, table[index], out=now)
            now[drawn == row] = 0
    return chosen


def _lower(squared: np.ndarray, points: Geometry, picks: list[int]) -> None:
    for part in slices(len(points)):
        np.minimum(squared[part], points.between(part, np.array(picks)).min(axis=1), out=squared[part])
    squared[picks] = 0


@dataclass(frozen=True)
class Clusters:
    """The result of k-means.

    Attributes:
        labels: (n,) cluster of each row; clusters may be empty.
        squared: (n,) squared distance to the cluster's center, relative to the largest value; only its order is
            meaningful.
    """

    labels: np.ndarray
    squared: np.ndarray


def cluster(
    vectors: np.ndarray,
    count: int,
    rng: np.random.Generator,
    weights: np.ndarray | None = None,
    iterations: int = 30,
) -> Clusters:
    """Weighted k-means with k-means++ seeding; uses mini-batches if rows × clusters exceeds 4 million.

    Args:
        vectors: (n, d), n ≥ 1.
        count: number of clusters; at most one per row.
        weights: (n,) ≥ 0; all 1 by default, and if all are 0.
        iterations: at most; stops when no label changes.
    """
    rows = center_and_scale(vectors)
    count = max(min(count, len(rows)), 1)
    if weights is None or not weights.any():
        weights = np.ones(len(rows))
    if len(rows) * count > BATCHED:
        centers = _by_batches(rows, count, weights, rng, iterations)
    else:
        centers = rows[plus_plus(Euclidean(rows), count, rng, weights)[0]]
        labels = np.full(len(rows), -1)
        for _ in range(iterations):
            new_labels, _ = nearest(rows, centers)
            if (new_labels == labels).all():
                break
            labels = new_labels
            centers = _means(rows, slice(None), labels, weights, centers)
    return Clusters(*nearest(rows, centers))


def _means(
    rows: Rows, part: slice | np.ndarray, labels: np.ndarray, weights: np.ndarray, old: np.ndarray
) -> np.ndarray:
    """The weighted mean of each cluster's rows; the old center for an empty cluster."""
    order = np.argsort(labels, kind="stable")
    present, starts = np.unique(labels[order], return_index=True)
    sums = np.add.reduceat((rows[part] * weights[:, None])[order], starts, axis=0)
    mass = np.add.reduceat(weights[order], starts)
    centers = old.copy()
    centers[present[mass > 0]] = sums[mass > 0] / mass[mass > 0, None]
    return centers


def _by_batches(rows: Rows, count: int, weights: np.ndarray, rng: np.random.Generator, iterations: int) -> np.ndarray:
    """Centers by mini-batch k-means: they move towards rows drawn by weight, at a decreasing rate."""
    total = np.cumsum(weights)
    size = max(4096, 4 * count)
    sample = np.unique(_draw(total, rng.random(max(size, 10 * count))))
    start, _ = plus_plus(Euclidean(Rows(rows[sample], np.float64)), count, rng)
    centers = rows[sample[start]]
    counts = np.zeros(len(centers))
    for _ in range(2 * iterations):
        batch = np.sort(_draw(total, rng.random(size)))
        block = rows[batch]
        labels = squared_distances(block, centers).argmin(axis=1)
        present, batch_counts = np.unique(labels, return_counts=True)
        fresh = _means(rows, batch, labels, np.ones(len(batch)), centers)
        counts[present] += batch_counts
        rate = batch_counts / counts[present]
        centers[present] += rate[:, None] * (fresh[present] - centers[present])
    return centers
