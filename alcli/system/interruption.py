"""Postpone SIGINT, SIGTERM and SIGHUP until the work in progress can be saved."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType

from alcli.errors import Interrupted

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stop:
    """Whether a signal has asked the run to stop.

    Attributes:
        signal: the number of the signal, None before one arrives.
    """

    def __init__(self) -> None:
        self.signal: int | None = None

    def obey(self) -> None:
        """Raise Interrupted if a signal has arrived; call it where everything is saved."""
        if self.signal is not None:
            raise Interrupted(self.signal)


@contextlib.contextmanager
def postpone_signals() -> Iterator[Stop]:
    """Postpone the first signal until ``Stop.obey`` or the end of the block; a second one stops at once.

    Outside the main thread, signals are handled as before.
    """
    stop = Stop()

    def note(number: int, frame: FrameType | None) -> None:
        if stop.signal is not None:
            raise Interrupted(number)
        stop.signal = number

    before = {}
    with contextlib.suppress(ValueError):  # not in the main thread
        before = {number: signal.signal(number, note) for number in SIGNALS}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    # A signal that arrived after the last ``obey`` must not be lost.
    stop.obey()
