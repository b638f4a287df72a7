"""How long a person worked on one image, from the moments at which its objects were made."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from datetime import datetime, timezone
from typing import Any

PAUSE = 120.0
"""Seconds between two objects beyond which nobody was working on the image."""


def seconds_of_work(moments: Sequence[datetime]) -> float | None:
    """Seconds of work on an image whose objects were made at these moments; None with fewer than two to compare.

    The gaps between objects are summed, pauses left out; the first object, of which only the end is known, counts as
    the mean of the others.
    """
    ordered = sorted(moments)
    gaps = [(second - first).total_seconds() for first, second in itertools.pairwise(ordered)]
    gaps = [gap for gap in gaps if gap <= PAUSE]
    if not gaps or not sum(gaps):
        return None
    return round(sum(gaps) * (len(gaps) + 1) / len(gaps), 3)


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
