"""Select the items at the centers of uncertain regions."""

from __future__ import annotations

import numpy as np

from alcli.signals import Signals
from alcli.vectors.kmeans import cluster
from alcli.vectors.ranking import picks_first


class Clue:
    """Cluster the embeddings, weighted by entropy, and pick the item nearest to each center.

    Needs: embedding (n, d), entropy (n,). Score: picks first, by their clusters' total entropy, then by entropy. There
    are as many clusters as the budget; the best other items by entropy make up for empty clusters.
    Cost: k-means, O(n · d · budget) per pass, at most 30. Source: Prabhu et al., "Active Domain Adaptation via
    Clustering Uncertainty-weighted Embeddings", ICCV 2021, section 3.
    """

    needs = frozenset({"embedding", "entropy"})

    def score(self, signals: Signals, budget: int, rng: np.random.Generator) -> np.ndarray:
        """(n,) picks first, the unpicked by entropy."""
        entropy = signals["entropy"].astype(np.float64)
        return uncertain_centers(signals.matrix("embedding"), entropy, budget, rng)


def uncertain_centers(
    vectors: np.ndarray, uncertainty: np.ndarray, budget: int, rng: np.random.Generator
) -> np.ndarray:
    """(n,) scores: first the item nearest to the center of each of ``budget`` clusters, then the others by uncertainty.

    Args:
        vectors: (n, d). uncertainty: (n,) the weight of each item; equal weights if none is above 0.
    """
    if not len(vectors) or budget < 1:
        return uncertainty
    weights = np.maximum(uncertainty, 0)
    clusters = cluster(vectors, budget, rng, weights)
    rows = np.lexsort((np.arange(len(vectors)), clusters.squared, clusters.labels))
    central = rows[np.flatnonzero(np.diff(clusters.labels[rows], prepend=-1))]  # first, so nearest, row of each cluster
    mass = np.bincount(clusters.labels, weights)[clusters.labels[central]]
    return picks_first(central[np.lexsort((central, -mass))], uncertainty)
