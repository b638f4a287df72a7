"""Query strategies: signals → acquisition scores. One file = one strategy, without torch."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

import numpy as np

from alcli import plugins
from alcli.errors import UsageError
from alcli.signals import Signals


class QueryStrategy(Protocol):
    """Computes acquisition scores from signals; knows neither models nor platforms."""

    needs: frozenset[str]
    """Names of signals; inference computes only these.

    A strategy may also have: ``needs_labeled``, the signals of annotated items that it reads (``signals.labeled``);
    ``Options``, a subclass of ``StrategyOptions`` with its own settings (the strategy is then constructed with
    ``options=``); ``default_random_share``, its default for ``strategy.random_share``; ``order_in_words``, a phrase
    that completes "chosen as"; ``weighs_by``, a method that names the uncertainty among the signals that it weighs
    items by, if it reads ``signals.trust``."""

    def score(self, signals: Signals, budget: int, rng: np.random.Generator) -> np.ndarray:
        """(n,) float64, finite, higher = annotate sooner. The caller sorts the rows by item id."""
        ...


def needs_labeled(strategy: QueryStrategy) -> frozenset[str]:
    """The signals of annotated items that the strategy reads; most read none."""
    signals: frozenset[str] = getattr(strategy, "needs_labeled", frozenset())
    return signals


def weighs_by(strategy: QueryStrategy, signals: Signals) -> str:
    """The uncertainty that the strategy weighs items by as far as it is trusted; empty for most strategies."""
    name: str = strategy.weighs_by(signals) if hasattr(strategy, "weighs_by") else ""
    return name


def make_strategy(name: str, section: Any = None) -> Any:
    """Construct a query strategy by name; ``outer:inner`` wraps one in another, as in ``diverse:margin``.

    A wrapper is a class with ``wraps = True``; it is constructed with the inner strategy. A class with ``Options`` is
    constructed with ``options=``, an instance of them.

    Args:
        section: the ``[strategy]`` section (``StrategyOptions``), with the options of the strategies in its name; other
            strategies get their defaults.

    Raises:
        UsageError: an unknown name, a wrapper without an inner strategy, or an inner strategy without a wrapper.
    """
    outer, colon, inner = name.partition(":")
    strategy = plugins.load("strategies", outer)
    wraps = getattr(strategy, "wraps", False)
    if wraps and not inner:
        raise UsageError(f"The strategy {outer} wraps another one.", do=f"Name it: {outer}:margin")
    if colon and not wraps:
        raise UsageError(f"The strategy {outer} cannot wrap another one, as in {name!r}.", do=f"Use {outer} alone.")
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
    """A phrase for the first images of a strategy's list that completes "chosen as"."""
    return str(getattr(_outermost(name), "order_in_words", f"the first by {name}"))


def supported_strategy(name: str, signal_names: frozenset[str]) -> str:
    """The strategy itself, or the first of its ``otherwise`` that can be had if a signal that it needs cannot.

    Raises:
        UsageError: an unknown strategy.
    """
    strategy = make_strategy(name)
    wanted = strategy.needs | needs_labeled(strategy)
    if wanted <= signal_names:
        return name
    others = getattr(strategy, "otherwise", ())
    others = (others,) if isinstance(others, str) else others
    return next((other for other in others if make_strategy(other).needs <= signal_names), next(iter(others), name))


def tasks_with_signals(signal_names: Iterable[str]) -> str:
    """A sentence that names the tasks which compute all these signals."""
    names = [name for name in plugins.names("tasks") if plugins.load("tasks", name).signal_names >= set(signal_names)]
    return f"Tasks that can: {', '.join(names)}." if names else "No installed task can."


def _own_options(own: Any, name: str, section: Any) -> Any:
    if section is None or name not in section.name.split(":"):
        return own()
    return own(**{key: getattr(section, key) for key in section.model_fields_set if key in own.model_fields})


def _outermost(name: str) -> Any:
    return plugins.load("strategies", name.partition(":")[0])
