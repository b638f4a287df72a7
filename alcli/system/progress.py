"""What a long step tells whoever waits for it; the command line draws it, a library may stay silent."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from typing import Protocol

Advance = Callable[[int], None]
LOG = logging.getLogger("alcli")
"""What is said to people and done by steps; goes nowhere until somebody adds a handler."""
# Without these two Python would print warnings of a log that nobody listens to.
LOG.addHandler(logging.NullHandler())
LOG.propagate = False


class Progress(Protocol):
    """Where steps report to."""

    def say(self, text: str) -> None:
        """One line for people."""
        ...

    def detail(self, text: str) -> None:
        """One line for those who want to know more."""
        ...

    def note(self, event: str, message: str, **facts: object) -> None:
        """An event for the log alone."""
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

    def note(self, event: str, message: str, **facts: object) -> None:
        """Nothing."""

    @contextlib.contextmanager
    def track(self, description: str, total: int) -> Iterator[Advance]:
        """A bar that nobody sees."""
        yield lambda units: None
