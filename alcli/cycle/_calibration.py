"""Fits the temperature of a model's probabilities to the held-out images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import minimize_scalar

from alcli.context import Context
from alcli.curves.correlation import FEWEST_FOR_TRUST
from alcli.signals import Signals
from alcli.strategies.calibrated import at_temperature, is_distribution

if TYPE_CHECKING:
    from alcli.tasks import Example

RANGE = (-2.0, 2.0)
"""Of the natural logarithm of the temperature."""


def fit_temperature(
    context: Context, signals: Signals, examples: Sequence[Example], classes: Sequence[str]
) -> float | None:
    """The temperature at which the labels of the held-out images are likeliest; None, and why, if there is none.

    Args:
        signals: of the held-out images, with ``class_scores``. classes: in the order of these.
    """
    labels = {row.item.id: row.annotation.labels for row in examples if row.annotation}
    rows = [row for row, item_id in enumerate(signals.item_ids) if len(labels.get(item_id, ())) == 1]
    scores = signals.matrix("class_scores")[rows] if rows else np.zeros((0, 1))
    true = np.array([classes.index(labels[signals.item_ids[row]][0]) for row in rows], dtype=np.int64)
    problem = _problem(scores.astype(np.float64), true)
    if problem:
        context.progress.say(f"No temperature can be fitted, because {problem}: uncertainties stay as they are.")
        return None
    temperature = best_temperature(scores.astype(np.float64), true)
    context.progress.detail(f"Temperature {temperature:.2f}, fitted to {len(rows)} held-out images.")
    return temperature


def best_temperature(probabilities: np.ndarray, true: np.ndarray) -> float:
    """The temperature with the smallest mean negative log-likelihood, between e⁻² and e².

    Args:
        probabilities: (n, classes) at temperature 1. true: (n,) indices of the right classes.
    """

    def loss(logarithm: float) -> float:
        likelihood = at_temperature(probabilities, float(np.exp(logarithm)))[np.arange(len(true)), true]
        return float(-np.log(np.maximum(likelihood, 1e-30)).mean())

    return float(np.exp(minimize_scalar(loss, bounds=RANGE, method="bounded").x))


def _problem(probabilities: np.ndarray, true: np.ndarray) -> str:
    """Why no temperature can be fitted; empty if one can."""
    if len(true) < FEWEST_FOR_TRUST:
        return f"fewer than {FEWEST_FOR_TRUST} held-out images have one label"
    if not is_distribution(probabilities):
        return "the classes of an image are no distribution"
    if len(set(true.tolist())) < 2:
        return "all held-out images are of one class"
    right = probabilities.argmax(axis=1) == true
    if right.all() or not right.any():
        return f"the model is {'right' if right.all() else 'wrong'} on all of them"
    return ""
