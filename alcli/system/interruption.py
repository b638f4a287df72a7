"""Postpone SIGINT, SIGTERM and SIGHUP until the work in progress can be saved, but never for long."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType

from alcli.errors import Interrupted

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PATIENCE = 7.0
"""Seconds for which a signal may be postponed; a step that takes longer is given up, as after a second signal."""
LAST_SECONDS = 9.0
"""Seconds after a signal when the process ends, whatever it is waiting for."""


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

    After ``PATIENCE`` seconds the first one stops, too: the block may be waiting for something that never comes.
    Outside the main thread, signals are handled as before.
    """
    stop = Stop()

    def note(number: int, frame: FrameType | None) -> None:
        if stop.signal is not None:
            raise Interrupted(stop.signal if number == signal.SIGALRM else number)
        if number != signal.SIGALRM:
            stop.signal = number
            signal.setitimer(signal.ITIMER_REAL, PATIENCE)

    before = {}
    with contextlib.suppress(ValueError):  # not in the main thread
        before = {number: signal.signal(number, note) for number in (*SIGNALS, signal.SIGALRM)}
    try:
        yield stop
    finally:
        if before and stop.signal is not None:
            signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)
    # A signal that arrived after the last ``obey`` must not be lost.
    stop.obey()


def end_soon_after_signals() -> None:
    """From now on, end this process ``LAST_SECONDS`` after a signal that asks it to stop.

    A run stops at such a signal by itself; this is for what Python cannot interrupt: a name that is being looked up, a
    thread that is waiting. Nothing is lost that being killed would not lose.
    """
    receiver, sender = os.pipe()
    os.set_blocking(sender, False)
    signal.set_wakeup_fd(sender, warn_on_full_buffer=False)
    threading.Thread(target=_end_after_signal, args=(receiver,), daemon=True).start()


def _end_after_signal(receiver: int) -> None:
    # Python writes the number of each signal, even while its main thread is busy.
    while (number := os.read(receiver, 1)[0]) not in SIGNALS:
        pass
    time.sleep(LAST_SECONDS)
    os._exit(Interrupted(number).exit_code)
