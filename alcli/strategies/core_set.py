"""Select items so that no part of the pool is far from every annotated item."""

from __future__ import annotations

import numpy as np

from alcli.signals import Signals
from alcli.vectors.kcenter import greedy_or_approximate
from alcli.vectors.ranking import picks_first, three_digits


class CoreSet:
    """Pick items one by one, each the farthest from all annotated items and earlier picks.

    Needs: embedding (n, d) of the pool and of annotated items. Score: picks first, then by distance to the nearest
    pick. Without annotated items the first pick is the item nearest to the mean.
    Cost: O(n · d · (labeled + budget)) by matrix products; beyond 2·10¹³ operations on a random sample in 64
    dimensions. Source: Sener & Savarese, "Active Learning for Convolutional Neural Networks: A Core-Set Approach",
    ICLR 2018, algorithm 1 (k-center greedy).
    """

    needs = frozenset({"embedding"})
    needs_labeled = frozenset({"embedding"})

    def score(self, signals: Signals, budget: int, rng: np.random.Generator) -> np.ndarray:
        """(n,) picks first, the unpicked by distance."""
        vectors, centers = signals.matrix("embedding"), signals.labeled_matrix("embedding")
        cover = greedy_or_approximate(vectors, budget, centers, rng)
        return picks_first(cover.picks, three_digits(cover.distances()))
