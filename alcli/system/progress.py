"""How a long step reports its progress; the command line displays it, a library may ignore it."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from typing import Protocol

Advance = Callable[[int], None]
LOG = logging.getLogger("alcli")
"""Messages and events of the steps; discarded until a handler is added."""
# Without these two lines, Python would print warnings to stderr when no handler is configured.
LOG.addHandler(logging.NullHandler())
LOG.propagate = False


class Progress(Protocol):
    """Receives the reports of a step."""

    def say(self, text: str) -> None:
        """Show one line."""
        ...

    def detail(self, text: str) -> None:
        """Show one line in verbose mode."""
        ...

    def note(self, event: str, message: str, **facts: object) -> None:
        """Write an event to the log without showing it."""
        ...

    def track(self, description: str, total: int) -> contextlib.AbstractContextManager[Advance]:
        """Show a progress bar of ``total`` units; the block calls the yielded function with the number completed."""
        ...


class Silent:
    """Discards every report."""

    def say(self, text: str) -> None:
        """Do nothing."""

    def detail(self, text: str) -> None:
        """Do nothing."""

    def note(self, event: str, message: str, **facts: object) -> None:
        """Do nothing."""

    @contextlib.contextmanager
    def track(self, description: str, total: int) -> Iterator[Advance]:
        """Yield a function that does nothing."""
        yield lambda units: None
