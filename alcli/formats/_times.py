"""How long a person worked on one image, from the moments at which its objects were made."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from datetime import datetime, timezone
from typing import Any

BY_HAND = 0.5
"""Seconds between two objects below which a program made them."""
PAUSE = 120.0
"""Seconds between two objects beyond which nobody was working on the image."""


def seconds_of_work(moments: Sequence[datetime]) -> float | None:
    """Seconds of work on an image whose objects were made at these moments; None with fewer than two to compare.

    The mean gap between objects, times the objects: of the first, and of one after a pause, only the end is known.
    """
    ordered = sorted(moments)
    gaps = [(second - first).total_seconds() for first, second in itertools.pairwise(ordered)]
    gaps = [gap for gap in gaps if BY_HAND <= gap <= PAUSE]
    return round(sum(gaps) / len(gaps) * len(moments), 3) if gaps else None


def moments(stamps: Iterable[Any]) -> list[datetime]:
    """The moments among texts such as ``2026-08-04T03:50:53.000Z``; what is none is passed over."""
    found = []
    for stamp in stamps:
        try:
            # Python 3.10 knows no Z.
            moment = datetime.fromisoformat(stamp.replace("Z", "+00:00"))
        except (AttributeError, TypeError, ValueError):
            continue
        found.append(moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc))
    return found
