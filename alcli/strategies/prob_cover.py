"""Ask for the items whose neighborhoods hold most of what is not covered yet."""

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
"""Items to be covered and items that tell the radius: random samples where the pool is larger."""


class ProbCover:
    """Pick one item after the other, each with the most uncovered items within a radius.

    The radius is the largest at which 95 % of the items have no item of another pseudo-class within it; pseudo-classes
    are k-means clusters, as many as there are classes. So it is the 5 % quantile of the distance to the nearest item of
    another cluster. When all is covered, k-center greedy goes on.
    Needs: embedding (n, d) of the pool and of annotated items, class_scores (n, c) for the number of classes. Score:
    picks first, then by the number of items within the radius. Cost: O(d · n · min(n, 20,000)) by matrix products.
    Source: Yehuda et al., "Active Learning Through a Covering Lens", NeurIPS 2022, algorithm 1.
    """

    needs = frozenset({"class_scores", "embedding"})
    needs_labeled = frozenset({"embedding"})

    def score(self, signals: Signals, budget: int, rng: np.random.Generator) -> np.ndarray:
        """(n,) picks first, the unpicked by how many items they cover."""
        vectors, known = signals.matrix("embedding"), signals.labeled_matrix("embedding")
        count, budget = len(vectors), min(budget, len(vectors))
        if not count:
            return np.zeros(0)
        both = center_and_scale(np.concatenate([vectors, known]))
        radius = _squared_radius(both[_sample(count, SAMPLED, rng)], signals.matrix("class_scores").shape[1], rng)
        centers = both[np.arange(count, len(both))]
        targets = both[_sample(count, COVERED, rng)]
        targets = targets[~_covered(targets, centers, radius)]
        # Around the mean of both, as the targets are.
        rows = Rows(both[:count], np.float64)
        first = gains = count_within(rows, targets, radius)
        picks: list[int] = []
        while len(picks) < budget and gains.max() > 0:
            picks.append(int(gains.argmax()))
            near = _covered(targets, rows[np.array(picks[-1:])], radius)
            gains = gains - count_within(rows, targets[near], radius)
            targets = targets[~near]
        rest = np.setdiff1d(np.arange(count), picks)
        done = np.concatenate([known, vectors[picks]]) if picks else known
        picks += rest[greedy(vectors[rest], budget - len(picks), done).picks].tolist()
        return picks_first(np.array(picks, dtype=np.int64), first)


def _sample(count: int, size: int, rng: np.random.Generator) -> np.ndarray:
    return np.arange(count) if count <= size else np.sort(rng.choice(count, size=size, replace=False))


def _squared_radius(vectors: np.ndarray, classes: int, rng: np.random.Generator) -> float:
    labels = cluster(vectors, max(classes, 2), rng).labels
    distances = np.sort(distance_to_other_groups(vectors, labels))
    return float(distances[int((1 - PURITY) * len(distances) + 1e-9)])


def _covered(targets: np.ndarray, centers: np.ndarray, radius: float) -> np.ndarray:
    """(t,) whether a target lies nearer than the radius to any center."""
    covered = np.zeros(len(targets), dtype=bool)
    for start in range(0, len(centers), 1024):
        covered |= (squared_distances(targets, centers[start : start + 1024]) < radius).any(axis=1)
    return covered
