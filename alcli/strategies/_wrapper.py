"""What every strategy that wraps another one has in common."""

from __future__ import annotations

from alcli.strategies import QueryStrategy, needs_labeled


class Wrapper:
    """Asks for its own signals and for those of the strategy that it wraps."""

    wraps = True
    needs: frozenset[str]

    def __init__(self, inner: QueryStrategy) -> None:
        """Args: ``inner``: the wrapped strategy."""
        self.inner = inner
        self.needs = type(self).needs | inner.needs
        self.needs_labeled = needs_labeled(inner)
