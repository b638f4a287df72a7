"""Select in random order: the baseline for every strategy."""

from __future__ import annotations

import numpy as np

from alcli.signals import Signals


class Random:
    """Order the items at random.

    Needs: nothing. Score: uniform in [0, 1). Cost: O(n). Source: the baseline of Settles (2009).
    """

    needs: frozenset[str] = frozenset()
    order_in_words = "a random sample"

    def score(self, signals: Signals, budget: int, rng: np.random.Generator) -> np.ndarray:
        """(n,) uniform random numbers."""
        return rng.random(len(signals))
