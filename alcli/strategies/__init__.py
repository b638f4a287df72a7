"""How signals become acquisition scores. One file = one strategy, numpy only."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from alcli.signals import Signals


class QueryStrategy(Protocol):
    """Signals in, acquisition scores out; knows neither models nor platforms."""

    needs: frozenset[str]
    """Names of signals; inference computes only these. ``needs_labeled`` beside it, where a strategy has one, names
    those it looks at in ``signals.labeled``, the annotated items."""

    def score(self, signals: Signals, budget: int, rng: np.random.Generator) -> np.ndarray:
        """(n,) float64, finite, higher = annotate sooner. The caller sorts rows by item id first."""
        ...


def needs_labeled(strategy: QueryStrategy) -> frozenset[str]:
    """The signals of annotated items that the strategy looks at; most look at none."""
    found: frozenset[str] = getattr(strategy, "needs_labeled", frozenset())
    return found
