"""Let another strategy read uncertainties of calibrated probabilities."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from alcli.signals import Signals
from alcli.strategies._wrapper import Wrapper

ROUNDING = 1e-2
"""How far the sum of probabilities in single precision may be from 1."""


class Calibrated(Wrapper):
    """Give the wrapped strategy margin, entropy and least_confidence of probabilities at another temperature.

    ``calibrated:herding`` divides the logits by the temperature at which the likelihood of the labels of the held-out
    images is largest. Where none can be fitted (fewer than 10 held-out images, one class, all right or all wrong), or
    the classes of an image are no distribution, as in detection, the uncertainties stay as they are; a cycle says so.
    Needs: class_scores (n, c), and what the wrapped strategy needs. Score: that of the wrapped strategy. Cost: O(n · c)
    extra.
    Source: Guo, Pleiss, Sun & Weinberger, "On Calibration of Modern Neural Networks", ICML 2017, section 4.2.
    """

    needs = frozenset({"class_scores"})
    reads_temperature = True

    def score(self, signals: Signals, budget: int, rng: np.random.Generator) -> np.ndarray:
        """The wrapped scores."""
        scores = signals.matrix("class_scores").astype(np.float64)  # (n, classes)
        if signals.temperature is None or not is_distribution(scores):
            return self.inner.score(signals, budget, rng)
        probabilities = at_temperature(scores, signals.temperature)
        ordered = np.sort(probabilities, axis=1)
        values = {
            "margin": 1 - (ordered[:, -1] - ordered[:, -2]),
            "least_confidence": 1 - ordered[:, -1],
            "entropy": -(probabilities * np.log(np.maximum(probabilities, 1e-300))).sum(axis=1),
        }
        known = {name: array for name, array in values.items() if name in signals.arrays}
        return self.inner.score(replace(signals, arrays={**signals.arrays, **known}), budget, rng)


def is_distribution(scores: np.ndarray) -> bool:
    """Whether the (n, classes) rows are probabilities of at least two classes of which one is right."""
    return scores.shape[1] > 1 and len(scores) > 0 and bool((np.abs(scores.sum(axis=1) - 1) < ROUNDING).all())


def at_temperature(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """(n, classes) softmax of the same logits divided by the temperature."""
    logits = np.log(np.maximum(probabilities, 1e-30)) / temperature
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))
