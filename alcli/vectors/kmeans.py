"""k-means++ seeding by blocks, and weighted k-means.

Sequential seeding brings all distances up to date after each draw. Here a block of rows is drawn at once from the
distances as they were at its start; each is then accepted with the probability (distance now) / (distance then), which
is exactly the law of drawing one after the other, and one matrix product brings all rows up to date.

Source: Arthur & Vassilvitskii, "k-means++", SODA 2007; Lloyd (1982); mini-batches: Sculley, WWW 2010.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from alcli.vectors.neighbors import nearest, norms, prepared, squared_distances
from alcli.vectors.rows import Rows, products, slices

DRAWN = 64
BATCHED = 2**22
"""Rows times centres from which on mini-batches take the place of whole passes."""


class Geometry(Protocol):
    """Points known only by their squared distances."""

    def __len__(self) -> int:
        """The number of points."""
        ...

    def between(self, rows: slice | np.ndarray, others: np.ndarray) -> np.ndarray:
        """(rows, others) float64 squared distances, exactly 0 where rounding leaves nothing certain."""
        ...


class Euclidean:
    """Points that are vectors."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def between(self, rows: slice | np.ndarray, others: np.ndarray) -> np.ndarray:
        """Squared Euclidean distances."""
        return squared_distances(self._rows[rows], self._rows[others])


class Products:
    """Points a ⊗ b that are outer products of two vectors, never multiplied out.

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
        """Squared Euclidean distances of the products."""
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
    """k-means++ seeding: each next row with a probability proportional to weight × squared distance to the earlier.

    Args:
        count: how many; fewer come back where all others coincide with them.
        weights: (n,) ≥ 0, all 1 by default.
        first: the first row; by default drawn by weight.

    Returns:
        (rows in the order drawn, (n,) squared distances to the nearest of them)
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
        chosen = _accepted(points, squared, _draw(total, rng.random(DRAWN)), rng.random(DRAWN))[: count - len(picks)]
        if chosen:
            picks += chosen
            _lower(squared, points, chosen)
    return np.array(picks, dtype=np.int64), squared


def _draw(total: np.ndarray, shares: np.ndarray) -> np.ndarray:
    return np.minimum(np.searchsorted(total, shares * total[-1], side="right"), len(total) - 1)


def _accepted(points: Geometry, squared: np.ndarray, drawn: np.ndarray, shares: np.ndarray) -> list[int]:
    then, table, chosen = squared[drawn], points.between(drawn, drawn), []
    now = then.copy()
    for place, row in enumerate(drawn.tolist()):
        if shares[place] * then[place] < now[place]:
            chosen.append(row)
            np.minimum(now, table[place], out=now)
            now[drawn == row] = 0
    return chosen


def _lower(squared: np.ndarray, points: Geometry, picks: list[int]) -> None:
    for part in slices(len(points)):
        np.minimum(squared[part], points.between(part, np.array(picks)).min(axis=1), out=squared[part])
    squared[picks] = 0


@dataclass(frozen=True)
class Clusters:
    """k-means' answer.

    Attributes:
        labels: (n,) the cluster of each row; some clusters may have none.
        squared: (n,) squared distance to the centre, in units of the largest value; only its order means anything.
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
    """Weighted k-means, started by k-means++; with mini-batches where rows × clusters exceeds 4 million.

    Args:
        vectors: (n, d), n ≥ 1.
        count: clusters; at most one for each row.
        weights: (n,) ≥ 0; all 1 by default, or where all are 0.
        iterations: at most; it stops when nothing moves.
    """
    rows = prepared(vectors)
    count = max(min(count, len(rows)), 1)
    if weights is None or not weights.any():
        weights = np.ones(len(rows))
    if len(rows) * count > BATCHED:
        centres = _by_batches(rows, count, weights, rng, iterations)
    else:
        centres = rows[plus_plus(Euclidean(rows), count, rng, weights)[0]]
        labels = np.full(len(rows), -1)
        for _ in range(iterations):
            moved, _ = nearest(rows, centres)
            if (moved == labels).all():
                break
            labels = moved
            centres = _means(rows, slice(None), labels, weights, centres)
    return Clusters(*nearest(rows, centres))


def _means(
    rows: Rows, part: slice | np.ndarray, labels: np.ndarray, weights: np.ndarray, old: np.ndarray
) -> np.ndarray:
    """The weighted mean of each cluster's rows; the old centre where there are none."""
    order = np.argsort(labels, kind="stable")
    present, starts = np.unique(labels[order], return_index=True)
    sums = np.add.reduceat((rows[part] * weights[:, None])[order], starts, axis=0)
    mass = np.add.reduceat(weights[order], starts)
    centres = old.copy()
    centres[present[mass > 0]] = sums[mass > 0] / mass[mass > 0, None]
    return centres


def _by_batches(rows: Rows, count: int, weights: np.ndarray, rng: np.random.Generator, iterations: int) -> np.ndarray:
    """Centres that move towards batches of rows drawn by weight, ever more slowly."""
    total = np.cumsum(weights)
    size = max(4096, 4 * count)
    sample = np.unique(_draw(total, rng.random(max(size, 10 * count))))
    start, _ = plus_plus(Euclidean(Rows(rows[sample], np.float64)), count, rng)
    centres = rows[sample[start]]
    seen = np.zeros(len(centres))
    for _ in range(2 * iterations):
        batch = np.sort(_draw(total, rng.random(size)))
        block = rows[batch]
        labels = squared_distances(block, centres).argmin(axis=1)
        present, numbers = np.unique(labels, return_counts=True)
        fresh = _means(rows, batch, labels, np.ones(len(batch)), centres)
        seen[present] += numbers
        rate = numbers / seen[present]
        centres[present] += rate[:, None] * (fresh[present] - centres[present])
    return centres
