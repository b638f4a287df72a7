"""Ask for wavering items from many clusters instead of from the few largest."""

from __future__ import annotations

import numpy as np

from alcli.signals import Signals
from alcli.vectors.kmeans import cluster
from alcli.vectors.ranking import by_turns, top_k

CANDIDATES = 10
CLUSTER_SIZE, LARGEST = 10, 500


class ClusterMargin:
    """Of the items with the smallest margins take one of each cluster by turns, from small clusters to large ones.

    Candidates: ten for each item asked for. Clusters: k-means over the pool with ten items each on average, at most 500
    clusters, where the paper merges neighbors up to a distance, which does not fit into memory for large pools.
    Needs: embedding (n, d), margin (n,). Score: candidates first, turn by turn, in a cluster by margin (the paper draws
    at random); then the others by margin. Cost: k-means and sorting.
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
