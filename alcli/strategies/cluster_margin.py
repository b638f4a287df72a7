"""Select items with small margins from many clusters, not only the largest ones."""

from __future__ import annotations

import numpy as np

from alcli.signals import Signals
from alcli.vectors.kmeans import cluster
from alcli.vectors.ranking import by_turns, top_k

CANDIDATES = 10
CLUSTER_SIZE, LARGEST = 10, 500


class ClusterMargin:
    """Take one item of each cluster by turns among those with the smallest margins, small clusters first.

    Candidates: the 10 · budget items with the smallest margins. Clusters: k-means over the pool, ten items each on
    average and at most 500 clusters; the paper uses hierarchical clustering, which does not fit in memory for large
    pools.
    Needs: embedding (n, d), margin (n,). Score: candidates first, turn by turn, within a cluster by margin (the paper
    draws at random); then the others by margin. Cost: k-means and sorting.
    Source: Citovsky et al., "Batch Active Learning at Scale", NeurIPS 2021, algorithms 1 and 2.
    """

    needs = frozenset({"embedding", "margin"})

    def score(self, signals: Signals, budget: int, rng: np.random.Generator) -> np.ndarray:
        """(n,) from 1 upwards for candidates, 0 and below by margin for the others."""
        margin = signals["margin"].astype(np.float64)
        candidates = top_k(margin, CANDIDATES * budget)
        if not len(candidates):
            return margin
        clusters = min(max(len(signals) // CLUSTER_SIZE, 1), LARGEST)
        labels = cluster(signals.matrix("embedding"), clusters, rng).labels[candidates]
        sizes = np.bincount(labels)[labels]
        turns = by_turns(labels, margin[candidates], -(sizes * float(clusters) + labels))
        scores = margin - margin.max()
        scores[candidates] = turns
        return scores
