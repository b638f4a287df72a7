"""How long `alcli --help` takes, in units of `python -c pass`: medians of alternating runs."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

RUNS = 5


def seconds(command: list[str]) -> float:
    """Wall-clock time of one run."""
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def main() -> None:
    """Print both medians and their ratio; the goal is at most 6."""
    bare = [sys.executable, "-c", "pass"]
    tool = [sys.executable, "-m", "alcli", "--help"]
    seconds(bare), seconds(tool)
    pairs = [(seconds(bare), seconds(tool)) for _ in range(RUNS)]
    base, shown = (statistics.median(column) for column in zip(*pairs, strict=True))
    print(f"python -c pass   {1000 * base:6.1f} ms")
    print(f"alcli --help     {1000 * shown:6.1f} ms   {shown / base:.2f} × (goal ≤ 6)")


if __name__ == "__main__":
    main()
