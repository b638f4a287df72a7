"""Ask for the images in which the model expects unusually many or few objects."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from alcli.config import StrategyOptions
from alcli.signals import Signals


class SurprisingCount:
    """Prefer images whose number of expected objects is far from that of the others.

    Needs: expected_objects (n,). Score: distance to the pool's median, or another quantile. Cost: O(n).
    Source: an example; no paper says that it works.
    """

    needs = frozenset({"expected_objects"})

    class Options(StrategyOptions):
        """``[strategy]`` of alcli.toml, with one key more."""

        quantile: float = Field(0.5, ge=0, le=1, description="of the pool's counts; an image there surprises nobody")

    def __init__(self, options: Options) -> None:
        """Args: ``options``: the workspace's, or defaults in a simulation of another strategy."""
        self._options = options

    def score(self, signals: Signals, budget: int, rng: np.random.Generator) -> np.ndarray:
        """(n,) distances to the quantile."""
        counts = signals["expected_objects"].astype(np.float64)
        return np.abs(counts - np.quantile(counts, self._options.quantile)) if len(counts) else counts
