"""Ask for the items on which the model wavers between two answers."""

from __future__ import annotations

import numpy as np

from alcli.signals import Signals


class Margin:
    """Prefer items whose two most probable classes are nearly as probable.

    Needs: margin (n,). Score: 1 − (largest − second largest probability), aggregated over objects as the task says.
    Cost: O(n).
    Source: Scheffer, Decomain & Wrobel, "Active Hidden Markov Models", IDA 2001; Settles (2009), section 3.1.
    """

    needs = frozenset({"margin"})

    def score(self, signals: Signals, budget: int, rng: np.random.Generator) -> np.ndarray:
        """(n,) margins."""
        return signals["margin"].astype(np.float64)
