"""Ask for the items whose best guess is the least sure."""

from __future__ import annotations

import numpy as np

from alcli.signals import Signals


class LeastConfidence:
    """Prefer items whose most probable class is improbable.

    Needs: least_confidence (n,). Score: 1 − largest probability, aggregated over objects as the task says. Cost:
    O(n).
    Source: Lewis & Gale, "A Sequential Algorithm for Training Text Classifiers", SIGIR 1994; Settles (2009),
    section 3.1.
    """

    needs = frozenset({"least_confidence"})

    def score(self, signals: Signals, budget: int, rng: np.random.Generator) -> np.ndarray:
        """(n,) complements of the largest probability."""
        return signals["least_confidence"].astype(np.float64)
