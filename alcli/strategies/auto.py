"""The default: unsure and unlike one another, and never far from what chance would do."""

from __future__ import annotations

import numpy as np

from alcli.signals import Signals
from alcli.strategies.clue import uncertain_middles
from alcli.vectors import pool


class Auto:
    """Cluster the pool with margins as weights; ask for the middle of each cluster, the least certain region first.

    Made for its worst case: an item weighs 1 − (p₁ − p₂), so that a model which is unsure of everything, or sure of
    everything, leaves plain k-means of the pool, a sample as representative as chance's. Before the first annotation
    alcli asks by `typiclust` where the network is pretrained; and of every list a share (`strategy.random_share`, 5 %)
    is drawn at random, which shows in production whether the rest of the list is worth its work.
    Needs: embedding (n, d), margin (n,). Score: picks first, then by margin. Cost: as `clue`.
    Source: the weighting of Prabhu et al., "Active Domain Adaptation via Clustering Uncertainty-weighted Embeddings",
    ICCV 2021, section 3, with the margin of Scheffer et al. (2001) in place of the entropy.
    """

    needs = frozenset({"embedding", "margin"})
    otherwise = "learned-loss"
    """For tasks of other packages that give no embedding or margin: a loss head they all have."""

    def score(self, signals: Signals, budget: int, rng: np.random.Generator) -> np.ndarray:
        """(n,) picks first, the unpicked by margin."""
        margin = signals["margin"].astype(np.float64)
        return uncertain_middles(pool(signals, "embedding"), margin, budget, rng)
