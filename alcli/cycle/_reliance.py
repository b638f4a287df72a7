"""Measures on the held-out images whether a model's uncertainties are larger where it errs more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import spearmanr

from alcli.curves.correlation import FEWEST_FOR_TRUST, trust_of
from alcli.engine.stratified import UNCERTAINTIES, uncertainty
from alcli.signals import Signals
from alcli.workspace.measurements import Reliance

if TYPE_CHECKING:
    from alcli.artifacts.predictor import Predictor
    from alcli.tasks import Example


def measure_reliance(
    predictor: Predictor, signals: Signals, examples: Sequence[Example], weighs: str
) -> Reliance | None:
    """Correlate each uncertainty of the held-out images with the model's true loss on them.

    Args:
        signals: of the held-out images. examples: those images with their annotations.
        weighs: the uncertainty that the strategy weighs images by, or nothing.

    Returns:
        None without any uncertainty, or without a held-out image.
    """
    names = [name for name in UNCERTAINTIES if name in signals.arrays]
    if not names or not examples:
        return None
    losses: dict[str, float] = {}
    if len(examples) >= FEWEST_FOR_TRUST:
        losses = {item_id: true for item_id, true, _ in predictor.losses(examples)}
    return correlate({name: uncertainty(signals, name) for name in names}, signals.item_ids, losses, weighs)


def correlate(
    uncertainties: Mapping[str, np.ndarray], item_ids: Sequence[str], losses: Mapping[str, float], weighs: str = ""
) -> Reliance:
    """Spearman's correlation of each uncertainty (n,) with the losses, over the images where both are numbers."""
    true = np.array([losses.get(item_id, np.nan) for item_id in item_ids])
    known = np.isfinite(true)
    correlations: dict[str, float] = {}
    trust: dict[str, float] = {}
    count = 0
    for name, values in uncertainties.items():
        both = known & np.isfinite(values)
        count = max(count, int(both.sum()))
        trust[name] = 0.0
        if both.sum() >= FEWEST_FOR_TRUST and np.ptp(values[both]) > 0 and np.ptp(true[both]) > 0:
            correlations[name] = float(spearmanr(values[both], true[both]).statistic)
            trust[name] = trust_of(correlations[name], int(both.sum()))
    return Reliance(count, correlations, trust, weighs)
