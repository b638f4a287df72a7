"""Ask for the items in the middle of regions of which the model is unsure."""

from __future__ import annotations

import numpy as np

from alcli.signals import Signals
from alcli.vectors.kmeans import cluster
from alcli.vectors.ranking import picks_first


class Clue:
    """Cluster the embeddings with entropies as weights; pick of each cluster the item nearest to its center.

    Needs: embedding (n, d), entropy (n,). Score: picks first, clusters of the largest total entropy before others, then
    by entropy. As many clusters as the budget; those that stay empty are made up for by entropy.
    Cost: k-means, O(n · d · budget) for each of at most 30 passes. Source: Prabhu et al., "Active Domain Adaptation via
    Clustering Uncertainty-weighted Embeddings", ICCV 2021, section 3.
    """

    needs = frozenset({"embedding", "entropy"})

    def score(self, signals: Signals, budget: int, rng: np.random.Generator) -> np.ndarray:
        """(n,) picks first, the unpicked by entropy."""
        entropy = signals["entropy"].astype(np.float64)
        return uncertain_middles(signals.matrix("embedding"), entropy, budget, rng)


def uncertain_middles(
    vectors: np.ndarray, uncertainty: np.ndarray, budget: int, rng: np.random.Generator
) -> np.ndarray:
    """(n,) scores: of each of ``budget`` clusters the middle item first, then the others by uncertainty.

    Args:
        vectors: (n, d). uncertainty: (n,) the weight of each item; where none is above 0, all weigh the same.
    """
    if not len(vectors) or budget < 1:
        return uncertainty
    weights = np.maximum(uncertainty, 0)
    found = cluster(vectors, budget, rng, weights)
    rows = np.lexsort((np.arange(len(vectors)), found.squared, found.labels))
    middles = rows[np.flatnonzero(np.diff(found.labels[rows], prepend=-1))]
    mass = np.bincount(found.labels, weights)[found.labels[middles]]
    return picks_first(middles[np.lexsort((middles, -mass))], uncertainty)
