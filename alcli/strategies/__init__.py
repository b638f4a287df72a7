"""How signals become acquisition scores. One file = one strategy, numpy only."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

import numpy as np

from alcli import plugins
from alcli.errors import UsageError
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


def make_strategy(name: str) -> Any:
    """An instance of a query strategy; ``outer:inner`` wraps one in another, as in ``diverse:margin``.

    A wrapper is a class with ``wraps = True``, made with the strategy that it wraps.

    Raises:
        UsageError: an unknown name, a wrapper with nothing in it, or something in a strategy that wraps nothing.
    """
    outer, colon, inner = name.partition(":")
    made = plugins.load("strategies", outer)
    wraps = getattr(made, "wraps", False)
    if wraps and not inner:
        raise UsageError(f"The strategy {outer} wraps another one.", do=f"Name it: {outer}:margin")
    if colon and not wraps:
        raise UsageError(f"The strategy {outer} wraps no other one, so {name!r} is none.", do=f"Use {outer} alone.")
    return made(make_strategy(inner)) if wraps else made()


def supported_strategy(name: str, signal_names: frozenset[str]) -> str:
    """The strategy itself, or the one it names as ``otherwise`` where a task cannot give the signals it needs.

    Raises:
        UsageError: there is no such strategy.
    """
    made = make_strategy(name)
    wanted = made.needs | needs_labeled(made)
    return name if wanted <= signal_names else getattr(made, "otherwise", name)


def tasks_giving(signal_names: Iterable[str]) -> str:
    """A sentence that names the tasks which give all these signals."""
    found = [name for name in plugins.names("tasks") if plugins.load("tasks", name).signal_names >= set(signal_names)]
    return f"Tasks that can: {', '.join(found)}." if found else "No installed task can."
