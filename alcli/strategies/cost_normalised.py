"""Ask for what another strategy gains by each object that has to be annotated."""

from __future__ import annotations

import numpy as np

from alcli.signals import Signals
from alcli.strategies._wrapper import Wrapper


class CostNormalised(Wrapper):
    """Divide the wrapped score by the number of objects that the model expects in the image, at least 1.

    For scores that grow with the number of objects, as sums over boxes and predicted losses do: an image with forty
    boxes costs the annotators forty times one box. Division means something only from 0 upwards: where any score is
    negative, the smallest of the pool is first taken off all.
    Needs: expected_objects (n,), and what the wrapped strategy needs. Score: wrapped score per expected object.
    Cost: O(n) on top. Source: Settles, Craven & Friedland, "Active Learning with Real Annotation Costs", NIPS workshop
    2008.
    """

    needs = frozenset({"expected_objects"})

    def score(self, signals: Signals, budget: int, rng: np.random.Generator) -> np.ndarray:
        """(n,) scores per object."""
        scores = self.inner.score(signals, budget, rng)
        if len(scores) and scores.min() < 0:
            scores = scores - scores.min()
        return scores / np.maximum(signals["expected_objects"].astype(np.float64), 1)
