"""Select the items whose neighborhoods cover most of the pool."""

from __future__ import annotations

import numpy as np

from alcli.signals import Signals
from alcli.vectors.kcenter import greedy
from alcli.vectors.kmeans import cluster
from alcli.vectors.neighbors import center_and_scale, count_within, distance_to_other_groups, squared_distances
from alcli.vectors.ranking import picks_first
from alcli.vectors.rows import Rows

PURITY = 0.95
COVERED, SAMPLED = 20_000, 5_000
"""Items to cover and items to estimate the radius from: random samples of larger pools."""


class ProbCover:
    """Pick items one by one, each with the most uncovered items within a radius.

    The radius is the largest for which 95 % of the items have no item of another pseudo-class within it, that is the
    5 % quantile of the distance to the nearest item of another pseudo-class. Pseudo-classes are k-means clusters, as
    many as classes. Once everything is covered, k-center greedy picks the rest.
    Needs: embedding (n, d) of the pool and of annotated items, class_scores (n, c) for the number of classes. Score:
    picks first, then by the number of items within the radius. Cost: O(d · n · min(n, 20,000)) by matrix products.
    Source: Yehuda et al., "Active Learning Through a Covering Lens", NeurIPS 2022, algorithm 1.
    """

    needs = frozenset({"class_scores", "embedding"})
    needs_labeled = frozenset({"embedding"})

    def score(self, signals: Signals, budget: int, rng: np.random.Generator) -> np.ndarray:
        """(n,) picks first, the unpicked by how many items they cover."""
        vectors, labeled = signals.matrix("embedding"), signals.labeled_matrix("embedding")
        count, budget = len(vectors), min(budget, len(vectors))
        if not count:
            return np.zeros(0)
        both = center_and_scale(np.concatenate([vectors, labeled]))
        radius = _purity_radius(both[_sample(count, SAMPLED, rng)], signals.matrix("class_scores").shape[1], rng)
        centers = both[np.arange(count, len(both))]
        targets = both[_sample(count, COVERED, rng)]
        targets = targets[~_within_radius(targets, centers, radius)]
        # Centered at the mean of both, like the targets.
        rows = Rows(both[:count], np.float64)
        first = gains = count_within(rows, targets, radius)
        picks: list[int] = []
        while len(picks) < budget and gains.max() > 0:
            picks.append(int(gains.argmax()))
            near = _within_radius(targets, rows[np.array(picks[-1:])], radius)
            gains = gains - count_within(rows, targets[near], radius)
            targets = targets[~near]
        rest = np.setdiff1d(np.arange(count), picks)
        covered = np.concatenate([labeled, vectors[picks]]) if picks else labeled
        picks += rest[greedy(vectors[rest], budget - len(picks), covered).picks].tolist()
        return picks_first(np.array(picks, dtype=np.int64), first)


def _sample(count: int, size: int, rng: np.random.Generator) -> np.ndarray:
    return np.arange(count) if count <= size else np.sort(rng.choice(count, size=size, replace=False))


def _purity_radius(vectors: np.ndarray, classes: int, rng: np.random.Generator) -> float:
    """The squared radius."""
    labels = cluster(vectors, max(classes, 2), rng).labels
    distances = np.sort(distance_to_other_groups(vectors, labels))
    return float(distances[int((1 - PURITY) * len(distances) + 1e-9)])


def _within_radius(targets: np.ndarray, centers: np.ndarray, radius: float) -> np.ndarray:
    """Whether each target is within the squared radius of any center: (t,)."""
    within = np.zeros(len(targets), dtype=bool)
    for start in range(0, len(centers), 1024):
        within |= (squared_distances(targets, centers[start : start + 1024]) < radius).any(axis=1)
    return within
