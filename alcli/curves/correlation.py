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
EXPECTED, EXPECTED_WEIGHT = math.atanh(0.55), 10.0
"""What trust starts from: a correlation of 0.55 in Fisher's z, which weighs as much as 14 held-out images.

A choice: in simulations of classes and boxes, weighing by uncertainty gained more than plain coverage, on CamVid as
much.
"""


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
    """How surely uncertainties follow the loss, from 0 (no more than not) to 1 (certainly).

    2 · P(correlation > 0) − 1. P is the posterior of Fisher's z under a normal prior (``EXPECTED``), with the variance
    of Bonett & Wright, Psychometrika 2000. Without a correlation, or with fewer than 10 images, the prior alone: 0.95.
    """
    z = precision = 0.0
    if images >= FEWEST_FOR_TRUST and math.isfinite(correlation):
        z = math.atanh(min(max(correlation, -0.999), 0.999))
        precision = (images - 3) / (1 + correlation**2 / 2)
    total = EXPECTED_WEIGHT + precision
    mean = (EXPECTED_WEIGHT * EXPECTED + precision * z) / total
    return max(0.0, 2 * NormalDist().cdf(mean * math.sqrt(total)) - 1)


def reliance_in_words(reliance: Reliance | None) -> str:
    """How far uncertainties follow the true loss, and what the strategy makes of it; empty if nobody measured."""
    if reliance is None:
        return ""
    text = _correlations_in_words(reliance)
    if not reliance.weighs:
        return text
    share = round(100 * reliance.trust.get(reliance.weighs, 0.0))
    kind = reliance.weighs.replace("_", " ")
    if reliance.sums and reliance.correlations:
        text += f" That of {kind} does not count: where the model sees nothing, it errs most, and {kind} is 0."
    return f"{text} Images weigh {share} % by {kind}, {100 - share} % equally."


def _correlations_in_words(reliance: Reliance) -> str:
    count = reliance.images
    if count < FEWEST_FOR_TRUST:
        return f"Whether uncertainties follow errors is unknown with fewer than {FEWEST_FOR_TRUST} held-out images."
    if not reliance.correlations:
        return f"The uncertainties of the {count} held-out images are all equal."
    texts = []
    for name, value in sorted(reliance.correlations.items()):
        low, high = rank_correlation_interval(value, count)
        texts.append(f"{name.replace('_', ' ')} {value:+.2f} [95 %: {low:+.2f} to {high:+.2f}]")
    return f"Rank correlation of uncertainty and true loss on {count} held-out images: {', '.join(texts)}."
