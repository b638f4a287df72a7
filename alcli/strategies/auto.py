"""The default: unsure and unlike one another, and never far from what chance would do."""

from __future__ import annotations

import numpy as np

from alcli.signals import Signals
from alcli.strategies.clue import uncertain_middles
from alcli.vectors.ranking import picks_first, top_k

CANDIDATES = 5
"""Times the budget; chosen on labels that no published figure was measured on."""
ALIKE = 1e-3
"""Rounding apart, every item then expects the same number of objects: one."""


class Auto:
    """Cluster the least certain items with margins as weights, and take the middle of each cluster.

    With one object an item (classification) only the five times budget least certain are clustered. Where margins are
    means over boxes, joints or pixels they tell less: there the whole pool is. Made for its worst case: margins that
    mean nothing leave k-means of the pool, as representative as chance. Before the first annotation alcli asks by
    `typiclust` where the network is pretrained; and of every list a share (`strategy.random_share`, 5 %) is drawn at
    random, which shows in production what the rest is worth.
    Needs: embedding (n, d), margin (n,), expected_objects (n,). Score: picks first, then by margin.
    Cost: that of `clue`; with one object an item k-means of the candidates, O(d · budget²) for each of ≤ 30 passes.
    Source: the weighting of Prabhu et al., "Active Domain Adaptation via Clustering Uncertainty-weighted Embeddings",
    ICCV 2021, section 3, with the margin of Scheffer et al. (2001) in place of the entropy, on candidates as in Yang,
    Huang & Crowley, "Plug and Play Active Learning for Object Detection", CVPR 2024.
    """

    needs = frozenset({"embedding", "margin", "expected_objects"})
    default_random_share = 0.05
    otherwise = "learned-loss"
    """For tasks of other packages that give no embedding or margin: a loss head they all have."""

    def score(self, signals: Signals, budget: int, rng: np.random.Generator) -> np.ndarray:
        """(n,) picks first, the unpicked by margin."""
        margin = signals["margin"].astype(np.float64)
        single = np.ptp(signals["expected_objects"]) < ALIKE if len(signals) else True
        # In the order of rows, so that nothing depends on how equal margins were sorted.
        rows = np.sort(top_k(margin, CANDIDATES * budget)) if single else np.arange(len(margin))
        if not len(rows):
            return margin
        scores = uncertain_middles(signals.matrix("embedding")[rows], margin[rows], budget, rng)
        picks = np.argsort(-scores, kind="stable")[:budget]
        return picks_first(rows[picks], margin)
