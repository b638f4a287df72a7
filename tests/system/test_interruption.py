from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from alcli.errors import Interrupted
from alcli.system import interruption
from alcli.system.interruption import postpone_signals


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_first_signal_is_postponed(number):
    done = []
    with pytest.raises(Interrupted) as error, postpone_signals() as stop:
        os.kill(os.getpid(), number)
        done.append("the batch")
        stop.obey()
        done.append("more")
    assert done == ["the batch"]
    assert error.value.exit_code == (130 if number == signal.SIGINT else 143)


def test_the_second_signal_stops_at_once():
    with pytest.raises(Interrupted), postpone_signals():
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)
        pytest.fail("still running")


def test_a_block_that_waits_for_ever_is_left_after_a_while(monkeypatch):
    monkeypatch.setattr(interruption, "PATIENCE", 0.5)
    started = time.monotonic()
    with pytest.raises(Interrupted) as error, postpone_signals():
        os.kill(os.getpid(), signal.SIGTERM)
        threading.Event().wait(60)
        pytest.fail("still waiting")
    assert 0.4 < time.monotonic() - started < 30
    assert error.value.exit_code == 143
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_a_late_signal_is_not_lost_and_handlers_are_restored():
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Interrupted), postpone_signals():
        os.kill(os.getpid(), signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is before


def test_other_threads_do_not_change_signal_handlers():
    signals = []

    def run():
        with postpone_signals() as stop:
            signals.append(stop.signal)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert signals == [None]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 143)])
def test_the_exit_code_says_which_signal_it_was(number, code):
    text = f"""
import os
from alcli.cli import run
import alcli.cli
def main(*arguments, **options):
    from alcli.system.interruption import postpone_signals
    with postpone_signals() as stop:
        os.kill(os.getpid(), {int(number)})
        stop.obey()
alcli.cli.cli.main = main
raise SystemExit(run([]))
"""
    assert subprocess.run([sys.executable, "-c", text], capture_output=True).returncode == code
