"""How a long step reports its progress; the command line displays it, a library may ignore it."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from typing import Protocol

LOG = logging.getLogger("alcli")
"""Messages and events of the steps; discarded until a handler is added."""
# Without these two lines, Python would print warnings to stderr when no handler is configured.
LOG.addHandler(logging.NullHandler())
LOG.propagate = False


class Advance(Protocol):
    """Counts what a step has completed."""

    def __call__(self, units: int, note: str = "") -> None:
        """Add completed units; ``note`` is shown instead of their number, such as ``epoch 5/30 · loss 3.2``."""
        ...


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

    def track(
        self, description: str, total: int, unit: str = "image", start: int = 0
    ) -> contextlib.AbstractContextManager[Advance]:
        """Show the progress of a step; the block calls the yielded function with the number of units completed.

        Args:
            unit: what is counted, in the singular.
            start: units that an earlier run completed; they say nothing about the time that is left.
        """
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
    def track(self, description: str, total: int, unit: str = "image", start: int = 0) -> Iterator[Advance]:
        """Yield a function that does nothing."""
        yield ignore


def ignore(units: int, note: str = "") -> None:
    """Do nothing with completed units."""
