"""Times in UTC, in RFC 3339."""

from __future__ import annotations

from datetime import datetime, timezone

RFC_3339 = "%Y-%m-%dT%H:%M:%SZ"
LARGEST_SKEW = 300.0
"""Tolerated difference between the clocks of two machines, in seconds."""


def now() -> str:
    """The current time in UTC, in RFC 3339, to the second."""
    return datetime.now(timezone.utc).strftime(RFC_3339)


def utc(moment: float) -> str:
    """Format a Unix time in RFC 3339, in UTC; "never" for 0."""
    return datetime.fromtimestamp(moment, timezone.utc).strftime(RFC_3339) if moment else "never"
