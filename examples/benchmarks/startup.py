"""How much CPU time `alcli --help` takes, in units of `python -c pass`: medians of interleaved runs."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys

RUNS = 15
GOAL = 4.5


def cpu_seconds(command: list[str]) -> float:
    """User and system time of one whole process."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{command} failed.")
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    """Print both medians and their ratio."""
    bare = [sys.executable, "-c", "pass"]
    tool = [sys.executable, "-m", "alcli", "--help"]
    cpu_seconds(bare), cpu_seconds(tool)  # fills the caches
    pairs = [(cpu_seconds(bare), cpu_seconds(tool)) for _ in range(RUNS)]
    base, shown = (statistics.median(column) for column in zip(*pairs, strict=True))
    print(f"python -c pass   {1000 * base:6.1f} ms")
    print(f"alcli --help     {1000 * shown:6.1f} ms   {shown / base:.2f} × (goal ≤ {GOAL})")


if __name__ == "__main__":
    main()
