"""Select the items with the largest loss according to the loss head."""

from __future__ import annotations

import numpy as np

from alcli.signals import Signals


class LearnedLoss:
    """Prefer items with a large predicted loss.

    Needs: predicted_loss (n,). Score: the predicted loss itself. Cost: O(n).
    Source: Yoo & Kweon, "Learning Loss for Active Learning", CVPR 2019, section 3.1.
    """

    needs = frozenset({"predicted_loss"})

    def score(self, signals: Signals, budget: int, rng: np.random.Generator) -> np.ndarray:
        """(n,) predicted losses."""
        return signals["predicted_loss"].astype(np.float64)
