"""What a long step tells whoever waits for it; the command line draws it, a library may stay silent."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Protocol

Advance = Callable[[int], None]


class Progress(Protocol):
    """Where steps report to."""

    def say(self, text: str) -> None:
        """One line for people."""
        ...

    def detail(self, text: str) -> None:
        """One line for those who want to know more."""
        ...

    def track(self, description: str, total: int) -> contextlib.AbstractContextManager[Advance]:
        """A bar of ``total`` units; the block calls the yielded function with the units done."""
        ...


class Silent:
    """Reports to nobody."""

    def say(self, text: str) -> None:
        """Nothing."""

    def detail(self, text: str) -> None:
        """Nothing."""

    @contextlib.contextmanager
    def track(self, description: str, total: int) -> Iterator[Advance]:
        """A bar that nobody sees."""
        yield lambda units: None
