"""The base of strategies that wrap another one."""

from __future__ import annotations

from alcli.signals import Signals
from alcli.strategies import QueryStrategy, needs_labeled, weighs_by


class Wrapper:
    """Needs its own signals and those of the wrapped strategy."""

    wraps = True
    needs: frozenset[str]

    def __init__(self, inner: QueryStrategy) -> None:
        """Args: ``inner``: the wrapped strategy."""
        self.inner = inner
        self.needs = type(self).needs | inner.needs
        self.needs_labeled = needs_labeled(inner)
        self.reads_temperature = getattr(self, "reads_temperature", False) or getattr(inner, "reads_temperature", False)

    def weighs_by(self, signals: Signals) -> str:
        """The uncertainty that the wrapped strategy weighs items by."""
        return weighs_by(self.inner, signals)
