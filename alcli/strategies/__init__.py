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
    """Names of signals; inference computes only these.

    A strategy may also have: ``needs_labeled``, the signals that it reads of annotated items (``signals.labeled``);
    ``Options``, settings of its own (they extend ``StrategyOptions``; it is made with ``options=``);
    ``default_random_share``, its value of ``strategy.random_share``; ``order_in_words``, to follow "chosen as"."""

    def score(self, signals: Signals, budget: int, rng: np.random.Generator) -> np.ndarray:
        """(n,) float64, finite, higher = annotate sooner. The caller sorts rows by item id first."""
        ...


def needs_labeled(strategy: QueryStrategy) -> frozenset[str]:
    """The signals of annotated items that the strategy looks at; most look at none."""
    signals: frozenset[str] = getattr(strategy, "needs_labeled", frozenset())
    return signals


def make_strategy(name: str, section: Any = None) -> Any:
    """An instance of a query strategy; ``outer:inner`` wraps one in another, as in ``diverse:margin``.

    A wrapper is a class with ``wraps = True``, made with the strategy that it wraps. A class with ``Options`` is made
    with ``options=``, an instance of them.

    Args:
        section: the ``[strategy]`` section (``StrategyOptions``), for the options of the strategies that its name
            contains; all others have their defaults.

    Raises:
        UsageError: an unknown name, a wrapper with nothing in it, or something in a strategy that wraps nothing.
    """
    outer, colon, inner = name.partition(":")
    strategy = plugins.load("strategies", outer)
    wraps = getattr(strategy, "wraps", False)
    if wraps and not inner:
        raise UsageError(f"The strategy {outer} wraps another one.", do=f"Name it: {outer}:margin")
    if colon and not wraps:
        raise UsageError(f"The strategy {outer} wraps no other one, so {name!r} is none.", do=f"Use {outer} alone.")
    options = {"options": _own_options(strategy.Options, outer, section)} if hasattr(strategy, "Options") else {}
    return strategy(make_strategy(inner, section), **options) if wraps else strategy(**options)


def control_share(section: Any, name: str | None = None) -> float:
    """Share of the budget drawn at random as a control: ``strategy.random_share``, or the strategy's own default.

    Args:
        section: the ``[strategy]`` section (``StrategyOptions``).
        name: of the strategy; default: the section's.
    """
    if section.random_share is not None:
        return float(section.random_share)
    strategy = _outermost(section.name if name is None else name)
    return float(getattr(strategy, "default_random_share", 0.0))


def order_in_words(name: str) -> str:
    """What the first images of a strategy's list are, to follow "chosen as"."""
    return str(getattr(_outermost(name), "order_in_words", f"the first by {name}"))


def supported_strategy(name: str, signal_names: frozenset[str]) -> str:
    """The strategy itself, or the one it names as ``otherwise`` where a task cannot give the signals it needs.

    Raises:
        UsageError: there is no such strategy.
    """
    strategy = make_strategy(name)
    wanted = strategy.needs | needs_labeled(strategy)
    return name if wanted <= signal_names else getattr(strategy, "otherwise", name)


def tasks_giving(signal_names: Iterable[str]) -> str:
    """A sentence that names the tasks which give all these signals."""
    names = [name for name in plugins.names("tasks") if plugins.load("tasks", name).signal_names >= set(signal_names)]
    return f"Tasks that can: {', '.join(names)}." if names else "No installed task can."


def _own_options(own: Any, name: str, section: Any) -> Any:
    if section is None or name not in section.name.split(":"):
        return own()
    return own(**{key: getattr(section, key) for key in section.model_fields_set if key in own.model_fields})


def _outermost(name: str) -> Any:
    return plugins.load("strategies", name.partition(":")[0])
