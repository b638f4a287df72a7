"""Select items by another strategy's score per object to annotate."""

from __future__ import annotations

import numpy as np

from alcli.signals import Signals
from alcli.strategies._wrapper import Wrapper


class CostNormalised(Wrapper):
    """Divide the wrapped score by the number of objects that the model expects in the image, at least 1.

    Meant for scores that grow with the number of objects, such as sums over boxes and predicted losses: an image with
    forty boxes costs forty times as much to annotate as one box. If any score is negative, the smallest one is
    subtracted from all scores first.
    Needs: expected_objects (n,), and what the wrapped strategy needs. Score: wrapped score per expected object.
    Cost: O(n) extra. Source: Settles, Craven & Friedland, "Active Learning with Real Annotation Costs", NIPS workshop
    2008.
    """

    needs = frozenset({"expected_objects"})

    def score(self, signals: Signals, budget: int, rng: np.random.Generator) -> np.ndarray:
        """(n,) scores per object."""
        scores = self.inner.score(signals, budget, rng)
        if len(scores) and scores.min() < 0:
            scores = scores - scores.min()
        return scores / np.maximum(signals["expected_objects"].astype(np.float64), 1)
