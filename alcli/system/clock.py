"""Moments in UTC, as files and people write them."""

from __future__ import annotations

from datetime import datetime, timezone

RFC_3339 = "%Y-%m-%dT%H:%M:%SZ"
LARGEST_SKEW = 300.0
"""Seconds by which the clocks of two machines may differ before anyone should care."""


def now() -> str:
    """The time in UTC, RFC 3339 to the second."""
    return datetime.now(timezone.utc).strftime(RFC_3339)


def utc(moment: float) -> str:
    """A moment in seconds since 1970 as UTC, RFC 3339; "never" for 0."""
    return datetime.fromtimestamp(moment, timezone.utc).strftime(RFC_3339) if moment else "never"
