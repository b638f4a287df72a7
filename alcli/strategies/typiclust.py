"""Ask for the most typical item of each cluster that nobody has looked into yet."""

from __future__ import annotations

import numpy as np

from alcli.signals import Signals
from alcli.vectors.kmeans import cluster
from alcli.vectors.neighbors import mean_neighbor_distance
from alcli.vectors.ranking import by_turns

LARGEST, NEIGHBORS, SMALL = 500, 20, 5


class Typiclust:
    """Take from each cluster by turns the item in its densest part.

    Clusters: k-means over pool and annotated items, as many as annotated items and budget together, at most 500.
    Those with the fewest annotated items come first, of these the largest; those of up to 5 items come last. Needs no
    trained model, so that it can choose the first items of all.
    Needs: embedding (n, d) of the pool and of annotated items. Score: turn by turn; in a cluster by typicality, one
    over the mean distance to its 20 nearest neighbors there (half the cluster where that is fewer).
    Cost: k-means, and O(d · cluster²) for each cluster. Source: Hacohen, Dekel & Weinshall, "Active Learning on a
    Budget: Opposite Strategies Suit High and Low Budgets", ICML 2022, section 3 and equation 4.
    """

    needs = frozenset({"embedding"})
    needs_labeled = frozenset({"embedding"})
    order_in_words = "the most typical of each cluster"

    def score(self, signals: Signals, budget: int, rng: np.random.Generator) -> np.ndarray:
        """(n,) distinct whole numbers."""
        vectors, known = signals.matrix("embedding"), signals.labeled_matrix("embedding")
        count = len(vectors)
        if not count:
            return np.zeros(0)
        clusters = max(min(len(known) + budget, LARGEST), 1)
        labels = cluster(np.concatenate([vectors, known]), clusters, rng).labels
        sizes = np.bincount(labels, minlength=clusters)
        annotated = np.bincount(labels[count:], minlength=clusters)
        turn = np.empty(clusters)
        turn[np.lexsort((-sizes, annotated))] = -np.arange(clusters)
        mine = labels[:count]
        scores = by_turns(mine, _typicality(vectors, mine), turn[mine])
        scores[sizes[mine] <= SMALL] -= count
        return scores


def _typicality(vectors: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(n,) one over the mean distance to neighbors in the same cluster; 0 for an item alone."""
    order = np.argsort(labels, kind="stable")
    result = np.zeros(len(labels))
    for rows in np.split(order, np.flatnonzero(np.diff(labels[order])) + 1):
        if len(rows) > 1:
            distances = mean_neighbor_distance(vectors[rows].astype(np.float64), min(NEIGHBORS, len(rows) // 2))
            result[rows] = 1 / (distances + 1e-5)
    return result
