"""Weighted facility location: pick the rows that cover the most of what is not yet covered, exactly.

The gain of a row is Σ_i w_i · max(0, k(i, row) − m_i), where m_i is the likeness of target i to the nearest labeled
row or earlier pick. Gains only shrink as rows are picked (the function is submodular), so the gain of an earlier turn
is an upper bound: only rows whose bound is not below the best current gain are computed again (lazy greedy; Minoux
1978).

Source: Bae, Oh, Yeo & Sutherland, "Uncertainty Herding: One Active Learning Method for All Label Budgets", ICLR 2025,
equation 5; without weights: Bae, Noh & Sutherland, "Generalized Coverage for More Robust Low-Budget Active Learning",
ECCV 2024.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from alcli.vectors.rows import products, slices

MOST_TARGETS = 5000
"""Targets of a larger pool are drawn at random: 300 of 1,559 already cost nothing."""
RECOMPUTED = 64
"""Rows whose gains are computed at once; most turns need one such block."""
BLOCK = 512
TIED = 1e-5
"""Relative difference below which gains are equal: rounding in float32; the first row is picked."""
TINY = 1e-12

Kernel = Callable[[np.ndarray], np.ndarray]
"""Turns cosines (any shape) into likenesses of the same shape; may overwrite its argument."""


def unit_rows(vectors: np.ndarray) -> np.ndarray:
    """(n, d) float32 rows of length 1; a row of zeros stays."""
    result = np.empty(vectors.shape, np.float32)
    for part in slices(len(vectors)):
        block = vectors[part].astype(np.float32)
        result[part] = block / np.maximum(np.linalg.norm(block, axis=1, keepdims=True), TINY)
    return result


def cosine(table: np.ndarray) -> np.ndarray:
    """The likeness of facility location."""
    return table


def gaussian(width: float) -> Kernel:
    """exp(−(‖a − b‖ / width)²) of rows of length 1."""

    def kernel(table: np.ndarray) -> np.ndarray:
        # ‖a − b‖² = 2 − 2 cos(a, b); rounding may give a cosine above 1.
        np.minimum(table, 1, out=table)
        table -= 1
        table *= 2 / width**2
        return np.exp(table, out=table)

    return kernel


def pick_covering(
    vectors: np.ndarray,
    budget: int,
    labeled: np.ndarray,
    weights: np.ndarray,
    kernel: Kernel,
    rng: np.random.Generator,
) -> np.ndarray:
    """Pick rows one by one, each with the largest gain: (≤ budget,) row indices; fewer where no other row has any gain.

    Args:
        vectors: (n, d) rows of length 1 (``unit_rows``).
        labeled: (m, d) rows of length 1 that cover already.
        weights: (n,) ≥ 0, how much each row is worth covering.
        rng: draws the targets of a pool of more than 5,000 rows.
    """
    count = len(vectors)
    targets = np.arange(count)
    if count > MOST_TARGETS:
        targets = np.sort(rng.choice(count, MOST_TARGETS, replace=False))
    cover = _Cover(vectors, vectors[targets], weights[targets].astype(np.float32), kernel)
    cover.count_as_covering(labeled)
    cover.compute(np.arange(count))
    picks: list[int] = []
    while len(picks) < budget and (pick := cover.pick()) is not None:
        picks.append(pick)
    return np.array(picks, dtype=np.int64)


class _Cover:
    """Upper bounds of the gains of all rows, and how well each target is covered."""

    def __init__(self, vectors: np.ndarray, targets: np.ndarray, weights: np.ndarray, kernel: Kernel) -> None:
        self._vectors, self._targets, self._weights, self._kernel = vectors, targets, weights, kernel
        self._covered = np.zeros(len(targets), np.float32)  # (targets,)
        self._bounds = np.full(len(vectors), np.inf)  # (rows,)

    def count_as_covering(self, rows: np.ndarray) -> None:
        """Targets are covered by their nearest of these rows."""
        for part in slices(len(rows), BLOCK):
            likeness = self._kernel(products(self._targets, rows[part]))  # (targets, rows)
            np.maximum(self._covered, likeness.max(axis=1), out=self._covered)

    def compute(self, rows: np.ndarray) -> None:
        """Set the bounds of these rows to their gains."""
        for part in slices(len(rows), BLOCK):
            gains = self._kernel(products(self._vectors[rows[part]], self._targets))  # (rows, targets)
            gains -= self._covered
            np.maximum(gains, 0, out=gains)
            self._bounds[rows[part]] = gains @ self._weights

    def pick(self) -> int | None:
        """Pick the row with the largest gain, of nearly equal ones the first; None if no row has any gain."""
        fresh = np.zeros(len(self._bounds), dtype=bool)
        while True:
            best = self._bounds[fresh].max(initial=0)
            limit = best * (1 - TIED)
            stale = np.flatnonzero(~fresh & (self._bounds >= limit) & (self._bounds > 0))
            if not len(stale):
                break
            if len(stale) > RECOMPUTED:
                stale = stale[np.argpartition(-self._bounds[stale], RECOMPUTED - 1)[:RECOMPUTED]]
            self.compute(stale)
            fresh[stale] = True
        if best <= 0:
            return None
        pick = int(np.flatnonzero(fresh & (self._bounds >= limit))[0])
        self._bounds[pick] = 0
        self.count_as_covering(self._vectors[pick : pick + 1])
        return pick
