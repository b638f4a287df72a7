"""The default: uncertain and diverse items, in the worst case as representative as a random sample."""

from __future__ import annotations

import numpy as np

from alcli.signals import Signals
from alcli.strategies.clue import uncertain_centers
from alcli.vectors.ranking import picks_first, top_k

CANDIDATES = 5
"""Candidates per item of the budget; tuned on labels that no published figure uses."""
ALIKE = 1e-3
"""Range of expected objects below which, up to rounding, every item has the same number: one."""


class Auto:
    """Cluster the least certain items, weighted by margin, and pick the item nearest to each center.

    With one object per item (classification) the candidates are the 5 · budget least certain items. Margins averaged
    over boxes, joints or pixels are less informative, so for other tasks the whole pool is clustered. If margins carry
    no information, k-means of the pool remains, which is as representative as a random sample. Before the first
    annotation alcli uses `typiclust` if the network is pretrained. A share of every list (`strategy.random_share`, 5 %)
    is drawn at random as a control group.
    Needs: embedding (n, d), margin (n,), expected_objects (n,). Score: picks first, then by margin.
    Cost: that of `clue`; with one object per item k-means of the candidates, O(d · budget²) per pass, at most 30.
    Source: the weighting of Prabhu et al., "Active Domain Adaptation via Clustering Uncertainty-weighted Embeddings",
    ICCV 2021, section 3, with the margin of Scheffer et al. (2001) in place of the entropy, on candidates as in Yang,
    Huang & Crowley, "Plug and Play Active Learning for Object Detection", CVPR 2024.
    """

    needs = frozenset({"embedding", "margin", "expected_objects"})
    default_random_share = 0.05
    otherwise = "learned-loss"
    """For tasks of other packages without embedding or margin; every task has a loss head."""

    def score(self, signals: Signals, budget: int, rng: np.random.Generator) -> np.ndarray:
        """(n,) picks first, the unpicked by margin."""
        margin = signals["margin"].astype(np.float64)
        single = np.ptp(signals["expected_objects"]) < ALIKE if len(signals) else True
        # Sorted, so that the result does not depend on the order of equal margins.
        rows = np.sort(top_k(margin, CANDIDATES * budget)) if single else np.arange(len(margin))
        if not len(rows):
            return margin
        scores = uncertain_centers(signals.matrix("embedding")[rows], margin[rows], budget, rng)
        picks = np.argsort(-scores, kind="stable")[:budget]
        return picks_first(rows[picks], margin)
