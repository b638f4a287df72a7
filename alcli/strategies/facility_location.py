"""Select the items that are most like the rest of the pool and least like the annotated items."""

from __future__ import annotations

import numpy as np

from alcli.signals import Signals
from alcli.vectors.coverage import cosine, pick_covering, unit_rows
from alcli.vectors.ranking import picks_first


class FacilityLocation:
    """Pick items one by one, each like many items that no annotated item and no earlier pick is like.

    It needs no trained model, so it can choose the very first items. Likeness: cosine of the embeddings.
    Needs: embedding (n, d) of the pool and of annotated items. Score: picks first; the unpicked are equal.
    Cost: O(n · d · targets), with at most 5,000 targets, which are drawn at random from a larger pool.
    Source: Wei, Iyer & Bilmes, "Submodularity in Data Subset Selection and Active Learning", ICML 2015, section 2,
    with annotated items covering from the start.
    """

    needs = frozenset({"embedding"})
    needs_labeled = frozenset({"embedding"})
    order_in_words = "typical images, one of each kind"

    def score(self, signals: Signals, budget: int, rng: np.random.Generator) -> np.ndarray:
        """(n,) picks first, the unpicked equal."""
        vectors = unit_rows(signals.matrix("embedding"))
        labeled = unit_rows(signals.labeled_matrix("embedding"))
        weights = np.ones(len(vectors))
        return picks_first(pick_covering(vectors, budget, labeled, weights, cosine, rng), weights)
