"""Ask for the images in which the model expects unusually many or few objects."""

from __future__ import annotations

import numpy as np

from alcli.signals import Signals


class SurprisingCount:
    """Prefer images whose number of expected objects is far from that of the others.

    Needs: expected_objects (n,). Score: distance to the pool's median. Cost: O(n).
    Source: an example; no paper says that it works.
    """

    needs = frozenset({"expected_objects"})

    def score(self, signals: Signals, budget: int, rng: np.random.Generator) -> np.ndarray:
        """(n,) distances to the median."""
        counts = signals["expected_objects"].astype(np.float64)
        return np.abs(counts - np.median(counts)) if len(counts) else counts
