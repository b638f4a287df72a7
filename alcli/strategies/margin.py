"""Select the items on which two classes are nearly tied."""

from __future__ import annotations

import numpy as np

from alcli.signals import Signals


class Margin:
    """Prefer items whose two most probable classes have similar probabilities.

    Needs: margin (n,). Score: 1 − (largest − second largest probability), aggregated over objects by the task.
    Cost: O(n).
    Source: Scheffer, Decomain & Wrobel, "Active Hidden Markov Models", IDA 2001; Settles (2009), section 3.1.
    """

    needs = frozenset({"margin"})

    def score(self, signals: Signals, budget: int, rng: np.random.Generator) -> np.ndarray:
        """(n,) margins."""
        return signals["margin"].astype(np.float64)
