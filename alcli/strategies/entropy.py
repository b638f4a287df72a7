"""Select the items whose predictions are least certain."""

from __future__ import annotations

import numpy as np

from alcli.signals import Signals


class Entropy:
    """Prefer items with a large prediction entropy.

    Needs: entropy (n,). Score: the entropy in nats, aggregated over objects by the task. Cost: O(n).
    Source: Shannon (1948); as an acquisition function: Settles (2009), section 3.1.
    """

    needs = frozenset({"entropy"})

    def score(self, signals: Signals, budget: int, rng: np.random.Generator) -> np.ndarray:
        """(n,) entropies."""
        return signals["entropy"].astype(np.float64)
