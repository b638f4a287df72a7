"""How much memory this machine, or the container around this process, still has."""

from __future__ import annotations

from pathlib import Path

GROUPS = Path("/sys/fs/cgroup")
"""Limits of a container, in version 2 and in version 1 of control groups."""
LIMITS = (("memory.max", "memory.current"), ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"))


def available_memory(meminfo: Path = Path("/proc/meminfo"), groups: Path = GROUPS) -> int | None:
    """Bytes that can be used without swapping; None where the system does not say."""
    limits = [_number(groups / limit, groups / usage) for limit, usage in LIMITS]
    known = [free for free in (_of_machine(meminfo), *limits) if free is not None]
    return min(known, default=None)


def _of_machine(meminfo: Path) -> int | None:
    try:
        lines = dict(line.split(":", 1) for line in meminfo.read_text().splitlines())
        return int(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return None


def _number(limit: Path, usage: Path) -> int | None:
    try:
        return max(int(limit.read_text()) - int(usage.read_text()), 0)
    except (OSError, ValueError):  # "max": there is no limit
        return None
