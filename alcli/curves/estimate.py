"""A number with its interval; separate from the code that computes it, so that importing it does not load scipy."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Estimate:
    """A mean with its interval; the interval is NaN for a single value."""

    mean: float
    low: float
    high: float
