"""Estimate how long an annotator worked on an image from the creation times of its objects."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from datetime import datetime, timezone
from typing import Any

BY_HAND = 0.5
"""Shortest gap, in seconds, between two objects drawn by hand; shorter ones come from a program."""
PAUSE = 120.0
"""Longest gap, in seconds, that counts as work; longer ones are pauses."""


def seconds_of_work(moments: Sequence[datetime]) -> float | None:
    """Seconds of work on an image whose objects were created at these times; None without a usable gap.

    The mean gap times the number of objects: the first object, and the first after a pause, have no gap of their own.
    """
    ordered = sorted(moments)
    gaps = [(second - first).total_seconds() for first, second in itertools.pairwise(ordered)]
    gaps = [gap for gap in gaps if BY_HAND <= gap <= PAUSE]
    return round(sum(gaps) / len(gaps) * len(moments), 3) if gaps else None


def parse_times(stamps: Iterable[Any]) -> list[datetime]:
    """Parse time stamps such as ``2026-08-04T03:50:53.000Z``; anything else is skipped."""
    parsed = []
    for stamp in stamps:
        try:
            # Python 3.10 does not accept the suffix Z.
            moment = datetime.fromisoformat(stamp.replace("Z", "+00:00"))
        except (AttributeError, TypeError, ValueError):
            continue
        parsed.append(moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc))
    return parsed
