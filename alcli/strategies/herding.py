"""Select items that cover the uncertain part of the pool, counting the annotated items as covering already."""

from __future__ import annotations

import numpy as np

from alcli.signals import Signals
from alcli.vectors.coverage import gaussian, pick_covering, unit_rows
from alcli.vectors.ranking import picks_first

FIRST_WIDTH = 1.0
QUANTILE = 0.1
"""Of the distances between annotated items; the smallest one would depend on one pair of near-duplicates."""
MOST_PAIRS = 1000
SMALLEST_WIDTH = 1e-3


class Herding:
    """Pick items one by one, each like many uncertain items that no annotated item and no earlier pick is like.

    Likeness: exp(−(distance / width)²) of embeddings of length 1; the width is the 10 % quantile of the distances
    between annotated items, 1 before the first annotation. Uncertainty: the margin.
    Needs: embedding (n, d) of the pool and of annotated items, margin (n,). Score: picks first, then by margin.
    Cost: O(n · d · targets), with at most 5,000 targets, which are drawn at random from a larger pool.
    Source: Bae, Oh, Yeo & Sutherland, "Uncertainty Herding: One Active Learning Method for All Label Budgets", ICLR
    2025, equation 5 and section 4; the quantile in place of the smallest distance.
    """

    needs = frozenset({"embedding", "margin"})
    needs_labeled = frozenset({"embedding"})
    default_random_share = 0.05
    order_in_words = "images that stand for many uncertain ones"

    def score(self, signals: Signals, budget: int, rng: np.random.Generator) -> np.ndarray:
        """(n,) picks first, the unpicked by margin."""
        margin = signals["margin"].astype(np.float64)
        vectors = unit_rows(signals.matrix("embedding"))
        labeled = unit_rows(signals.labeled_matrix("embedding"))
        kernel = gaussian(kernel_width(labeled))
        return picks_first(pick_covering(vectors, budget, labeled, margin, kernel, rng), margin)


def kernel_width(labeled: np.ndarray) -> float:
    """The 10 % quantile of the distances between (m, d) rows of length 1; 1 with fewer than two."""
    rows = labeled[:: max(1, len(labeled) // MOST_PAIRS)]
    if len(rows) < 2:
        return FIRST_WIDTH
    upper = np.triu_indices(len(rows), 1)
    distances = np.sqrt(np.maximum(2 - 2 * (rows @ rows.T)[upper], 0))
    return max(float(np.quantile(distances, QUANTILE)), SMALLEST_WIDTH)
