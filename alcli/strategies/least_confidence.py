"""Select the items whose most probable class is the least probable."""

from __future__ import annotations

import numpy as np

from alcli.signals import Signals


class LeastConfidence:
    """Prefer items whose most probable class has a low probability.

    Needs: least_confidence (n,). Score: 1 − largest probability, aggregated over objects by the task. Cost: O(n).
    Source: Lewis & Gale, "A Sequential Algorithm for Training Text Classifiers", SIGIR 1994; Settles (2009),
    section 3.1.
    """

    needs = frozenset({"least_confidence"})

    def score(self, signals: Signals, budget: int, rng: np.random.Generator) -> np.ndarray:
        """(n,) complements of the largest probability."""
        return signals["least_confidence"].astype(np.float64)
