"""The base of strategies that wrap another one."""

from __future__ import annotations

from alcli.strategies import QueryStrategy, needs_labeled


class Wrapper:
    """Needs its own signals and those of the wrapped strategy."""

    wraps = True
    needs: frozenset[str]

    def __init__(self, inner: QueryStrategy) -> None:
        """Args: ``inner``: the wrapped strategy."""
        self.inner = inner
        self.needs = type(self).needs | inner.needs
        self.needs_labeled = needs_labeled(inner)
