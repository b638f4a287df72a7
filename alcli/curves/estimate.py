"""A number with its interval; apart from what computes it, so that reading one needs no scipy."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Estimate:
    """A mean with its interval; with one value only the interval is not a number."""

    mean: float
    low: float
    high: float
