"""Run a command every day at one time (HH:MM, UTC by default): a cron without root, a mail program or a crontab.

``python nightly.py 02:00 alcli cycle -w /data/W``. A failed night is named and the next one runs all the same; SIGTERM
ends both this program and the command, which has its own time to finish its step.
"""

from __future__ import annotations

import datetime
import signal
import subprocess
import sys
import threading


def seconds_until(clock: str, now: datetime.datetime) -> float:
    """Seconds until the clock next shows this time; a whole day if it shows it now."""
    hour, minute = map(int, clock.split(":"))
    then = now.replace(hour=hour, minute=minute, second=0, microsecond=0)
    while then <= now:
        then += datetime.timedelta(days=1)
    return (then - now).total_seconds()


def main(clock: str, *command: str) -> int:
    """Wait, run, and wait again until a signal comes."""
    stop = threading.Event()
    running: list[subprocess.Popen[bytes]] = []

    def end(number: int, _: object) -> None:
        stop.set()
        for process in running:
            process.send_signal(number)

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, end)
    while not stop.wait(seconds_until(clock, datetime.datetime.now().astimezone())):
        running[:] = [subprocess.Popen(command)]
        if stop.is_set():  # the signal came before there was a process to pass it to
            running[0].terminate()
        code = running[0].wait()
        running.clear()
        print(f"{' '.join(command)}: exit {code}", file=sys.stderr, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
