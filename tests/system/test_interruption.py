from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import pytest

from alcli.errors import Interrupted
from alcli.system.interruption import postponed


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_first_signal_waits_until_it_is_obeyed(number):
    done = []
    with pytest.raises(Interrupted) as error, postponed() as stop:
        os.kill(os.getpid(), number)
        done.append("the batch")
        stop.obey()
        done.append("more")
    assert done == ["the batch"]
    assert error.value.exit_code == (130 if number == signal.SIGINT else 143)


def test_the_second_stops_at_once():
    with pytest.raises(Interrupted), postponed():
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)
        pytest.fail("still running")


def test_one_that_came_last_is_not_forgotten_and_handlers_come_back():
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Interrupted), postponed():
        os.kill(os.getpid(), signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is before


def test_other_threads_leave_signals_alone():
    found = []

    def run():
        with postponed() as stop:
            found.append(stop.signal)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert found == [None]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 143)])
def test_the_exit_code_says_which_signal_it_was(number, code):
    text = f"""
import os
from alcli.cli import console
import alcli.cli
def main(*arguments, **options):
    from alcli.system.interruption import postponed
    with postponed() as stop:
        os.kill(os.getpid(), {int(number)})
        stop.obey()
alcli.cli.cli.main = main
raise SystemExit(cli.run([]))
"""
    assert subprocess.run([sys.executable, "-c", text], capture_output=True).returncode == code
