"""How much CPU time `alcli --help` takes, in units of `python -c pass`: medians of interleaved runs.

The ratio depends on the environment: an editable install makes every Python process slower, so that the ratio falls.
`import click` is the part that no change of alcli can save.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys

RUNS = 15
GOAL = 4.5
COMMANDS = {
    "python -c pass": ("-c", "pass"),
    "import click": ("-c", "import click"),
    "alcli --help": ("-m", "alcli", "--help"),
}


def cpu_seconds(arguments: tuple[str, ...]) -> float:
    """User and system time of one whole Python process."""
    process = subprocess.Popen([sys.executable, *arguments], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"python {' '.join(arguments)} failed.")
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    """Print the median of each command and its ratio to `python -c pass`."""
    for arguments in COMMANDS.values():
        cpu_seconds(arguments)  # fills the caches
    runs = [[cpu_seconds(arguments) for arguments in COMMANDS.values()] for _ in range(RUNS)]
    medians = [statistics.median(times) for times in zip(*runs, strict=True)]  # one per command
    for name, median in zip(COMMANDS, medians, strict=True):
        print(f"{name:16} {1000 * median:6.1f} ms  {median / medians[0]:5.2f} ×")
    print(f"Goal: alcli --help at most {GOAL} ×")


if __name__ == "__main__":
    main()
