"""How far predicted losses and uncertainties follow the true loss, and how surely."""

from __future__ import annotations

import math
from collections.abc import Mapping
from statistics import NormalDist
from typing import TYPE_CHECKING

from alcli.curves.metrics import CORRELATION

if TYPE_CHECKING:
    from alcli.workspace.measurements import Reliance

FEWEST_FOR_TRUST = 10
"""Held-out images below which a correlation with the true loss says nothing."""


def rank_correlation_interval(value: float, count: int) -> tuple[float, float]:
    """The 95 % interval of Spearman's correlation over ``count`` pairs (Bonett & Wright, Psychometrika 2000)."""
    reach = 1.96 * math.sqrt((1 + value**2 / 2) / max(count - 3, 1))
    middle = math.atanh(min(max(value, -0.999), 0.999))
    return math.tanh(middle - reach), math.tanh(middle + reach)


def correlation_in_words(metrics: Mapping[str, float], held_out: int) -> str:
    """How well a model predicts its own loss; empty if that was not measured."""
    if CORRELATION not in metrics:
        return ""
    low, high = rank_correlation_interval(metrics[CORRELATION], held_out)
    verdict = "no relation yet; " if low <= 0 <= high else ""
    interval = f"{metrics[CORRELATION]:+.2f} [95 %: {low:+.2f} to {high:+.2f}]"
    return f"Predicted and true loss: {verdict}rank correlation {interval} on {held_out} held-out images."


def trust_of(correlation: float, images: int) -> float:
    """How surely a rank correlation over so many images is above 0, from 0 (no more than not) to 1 (certainly).

    2 · P − 1 of the normal approximation after Fisher's transform (Bonett & Wright, Psychometrika 2000).
    """
    if images < FEWEST_FOR_TRUST or not math.isfinite(correlation):
        return 0.0
    z = math.atanh(min(max(correlation, -0.999), 0.999)) * math.sqrt((images - 3) / (1 + correlation**2 / 2))
    return max(0.0, 2 * NormalDist().cdf(z) - 1)


def reliance_in_words(reliance: Reliance | None) -> str:
    """How far uncertainties follow the true loss, and what the strategy makes of it; empty if nobody measured."""
    if reliance is None:
        return ""
    count, weighs = reliance.images, reliance.weighs
    flat = ": the pool is covered without them" if weighs else ""
    if count < FEWEST_FOR_TRUST:
        return (
            f"Whether uncertainties follow errors is unknown with fewer than {FEWEST_FOR_TRUST} held-out images{flat}."
        )
    if not reliance.correlations:
        return f"The uncertainties of the {count} held-out images are all equal{flat}."
    texts = []
    for name, value in sorted(reliance.correlations.items()):
        low, high = rank_correlation_interval(value, count)
        texts.append(f"{name.replace('_', ' ')} {value:+.2f} [95 %: {low:+.2f} to {high:+.2f}]")
    text = f"Rank correlation of uncertainty and true loss on {count} held-out images: {', '.join(texts)}."
    if not weighs:
        return text
    share = round(100 * reliance.trust.get(weighs, 0.0))
    kind = weighs.replace("_", " ")
    return f"{text} Images weigh {share} % by {kind}, {100 - share} % equally."
