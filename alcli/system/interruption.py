"""Signals that wait until a piece of work is whole."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType

from alcli.errors import Interrupted

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stop:
    """Whether somebody has asked the run to stop, and by which signal."""

    def __init__(self) -> None:
        self.signal: int | None = None

    def obey(self) -> None:
        """Raises Interrupted when a signal has come; called where everything is in order."""
        if self.signal is not None:
            raise Interrupted(self.signal)


@contextlib.contextmanager
def postponed() -> Iterator[Stop]:
    """Let the first signal wait for ``Stop.obey``; a second one stops at once.

    Outside the main thread signals stay as they are.
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
    # One that came last must not be forgotten.
    stop.obey()
