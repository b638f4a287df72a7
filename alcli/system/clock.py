"""Times: in RFC 3339 and UTC for files and programs, in local time and rounded for people."""

from __future__ import annotations

from datetime import datetime, timezone

from alcli.system.text import quantity

RFC_3339 = "%Y-%m-%dT%H:%M:%SZ"
LARGEST_SKEW = 300.0
"""Tolerated difference between the clocks of two machines, in seconds."""


def now() -> str:
    """The current time in UTC, in RFC 3339, to the second."""
    return datetime.now(timezone.utc).strftime(RFC_3339)


def utc(moment: float) -> str:
    """Format a Unix time in RFC 3339, in UTC; "never" for 0."""
    return datetime.fromtimestamp(moment, timezone.utc).strftime(RFC_3339) if moment else "never"


def local(moment: str) -> str:
    """A time in RFC 3339 as local time: ``25 Nov 02:14``, with the year if it is not this one; other text as it is."""
    try:
        time = datetime.strptime(moment, RFC_3339).replace(tzinfo=timezone.utc).astimezone()
    except ValueError:
        return moment
    year = "" if time.year == datetime.now().astimezone().year else f" {time.year}"
    return f"{time.day} {time:%b}{year} {time:%H:%M}"


def rounded(seconds: float) -> str:
    """A duration to read at a glance: ``45 s``, ``9 min``, ``3.5 h``, ``2 days``."""
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    if seconds < 99.5 * 60:
        return f"{seconds / 60:.0f} min"
    if seconds < 48 * 3600:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 86400:.0f} days"


def span(seconds: float) -> str:
    """A duration in the largest unit that divides it: ``1 second``, ``90 seconds``, ``26 hours``, ``7 days``."""
    for length, unit in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds and seconds % length == 0:
            return quantity(seconds / length, unit)
    return quantity(seconds, "second")
