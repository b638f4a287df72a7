"""Select another strategy's best items, avoiding similar ones."""

from __future__ import annotations

import numpy as np

from alcli.signals import Signals
from alcli.strategies._wrapper import Wrapper
from alcli.vectors.kcenter import greedy
from alcli.vectors.ranking import picks_first, top_k

CANDIDATES = 4


class Diverse(Wrapper):
    """Pick by k-center greedy among the wrapped strategy's best items.

    ``diverse:margin`` takes the 4 · budget best items by margin as candidates, picks the best one, then repeatedly the
    candidate farthest from all picks.
    Needs: embedding (n, d), and what the wrapped strategy needs. Score: picks first, then by the wrapped score.
    Cost: O(d · budget²) by matrix products extra. Source: Yang, Huang & Crowley, "Plug and Play Active Learning for
    Object Detection", CVPR 2024, section 3 (candidates, then a diverse subset).
    """

    needs = frozenset({"embedding"})

    def score(self, signals: Signals, budget: int, rng: np.random.Generator) -> np.ndarray:
        """(n,) picks first, the unpicked by the wrapped score."""
        wanted = min(CANDIDATES * budget, len(signals))
        scores = self.inner.score(signals, wanted, rng)
        candidates = top_k(scores, wanted)
        if not len(candidates):
            return scores
        # Sorted, so that the lowest row wins a tie; the best is the first pick.
        rows = np.sort(candidates)
        first = int(np.searchsorted(rows, candidates[0]))
        return picks_first(rows[greedy(signals.matrix("embedding")[rows], budget, first=first).picks], scores)
