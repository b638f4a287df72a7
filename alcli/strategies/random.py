"""Ask in random order: the baseline that every strategy has to beat."""

from __future__ import annotations

import numpy as np

from alcli.signals import Signals


class Random:
    """Every item is equally likely to come first.

    Needs: nothing. Score: uniform in [0, 1). Cost: O(n). Source: the baseline of Settles (2009).
    """

    needs: frozenset[str] = frozenset()
    order_in_words = "a seeded random sample"

    def score(self, signals: Signals, budget: int, rng: np.random.Generator) -> np.ndarray:
        """(n,) uniform numbers, the same for the same generator state."""
        return rng.random(len(signals))
