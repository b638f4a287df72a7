"""Select the most typical item of each cluster without annotations."""

from __future__ import annotations

import numpy as np

from alcli.signals import Signals
from alcli.vectors.kmeans import cluster
from alcli.vectors.neighbors import mean_neighbor_distance
from alcli.vectors.ranking import by_turns

LARGEST, NEIGHBORS, SMALL = 500, 20, 5


class Typiclust:
    """Take the item in the densest part of each cluster, by turns.

    Clusters: k-means over pool and annotated items, as many as annotated items plus budget, at most 500. Clusters with
    the fewest annotated items come first, among these the largest; clusters of up to 5 items come last. It needs no
    trained model, so it can choose the very first items.
    Needs: embedding (n, d) of the pool and of annotated items. Score: turn by turn; within a cluster by typicality, 1
    / the mean distance to the 20 nearest neighbors in the cluster (half the cluster if that is fewer).
    Cost: k-means, and O(d · cluster²) for each cluster. Source: Hacohen, Dekel & Weinshall, "Active Learning on a
    Budget: Opposite Strategies Suit High and Low Budgets", ICML 2022, section 3 and equation 4.
    """

    needs = frozenset({"embedding"})
    needs_labeled = frozenset({"embedding"})
    order_in_words = "typical images, one of each kind"

    def score(self, signals: Signals, budget: int, rng: np.random.Generator) -> np.ndarray:
        """(n,) distinct whole numbers."""
        vectors, labeled = signals.matrix("embedding"), signals.labeled_matrix("embedding")
        count = len(vectors)
        if not count:
            return np.zeros(0)
        clusters = max(min(len(labeled) + budget, LARGEST), 1)
        labels = cluster(np.concatenate([vectors, labeled]), clusters, rng).labels
        sizes = np.bincount(labels, minlength=clusters)
        annotated = np.bincount(labels[count:], minlength=clusters)
        turn = np.empty(clusters)
        turn[np.lexsort((-sizes, annotated))] = -np.arange(clusters)
        pool_labels = labels[:count]
        scores = by_turns(pool_labels, _typicality(vectors, pool_labels), turn[pool_labels])
        scores[sizes[pool_labels] <= SMALL] -= count
        return scores


def _typicality(vectors: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """1 / mean distance to neighbors in the same cluster, 0 for a single item: (n,)."""
    order = np.argsort(labels, kind="stable")
    result = np.zeros(len(labels))
    for rows in np.split(order, np.flatnonzero(np.diff(labels[order])) + 1):
        if len(rows) > 1:
            distances = mean_neighbor_distance(vectors[rows].astype(np.float64), min(NEIGHBORS, len(rows) // 2))
            result[rows] = 1 / (distances + 1e-5)
    return result
