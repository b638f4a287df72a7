"""Select items whose gradients are large and diverse."""

from __future__ import annotations

import numpy as np

from alcli.signals import Signals
from alcli.vectors.kmeans import Products, plus_plus
from alcli.vectors.ranking import picks_first, three_digits
from alcli.vectors.rows import Rows, scale

ROUNDING = 1e-5


class Badge:
    """Draw items by k-means++ in the space of the last layer's gradients for the predicted classes.

    The gradient of item i is (p − e) ⊗ x, the probabilities minus the one-hot predicted class, times the embedding; the
    product is never computed. Class scores that sum to less than 1 get an extra class "nothing" with the rest; larger
    sums are normalized to 1.
    Needs: class_scores (n, c), embedding (n, d). Score: picks first (the first has the largest gradient), then by
    squared distance to the nearest pick. If all gradients are 0, all scores are equal.
    Cost: O(n · (c + d) · budget) by matrix products. Source: Ash et al., "Deep Batch Active Learning by Diverse,
    Uncertain Gradient Lower Bounds", ICLR 2020, algorithm 1.
    """

    needs = frozenset({"class_scores", "embedding"})

    def score(self, signals: Signals, budget: int, rng: np.random.Generator) -> np.ndarray:
        """(n,) picks first, the unpicked by squared distance."""
        vectors = signals.matrix("embedding")
        errors = _errors(signals.matrix("class_scores").astype(np.float64))
        gradients = Products(Rows(errors, np.float64), Rows(vectors, np.float64, scale=scale(vectors)))
        if not gradients.norms.any():
            return np.zeros(len(signals))
        picks, squared = plus_plus(gradients, budget, rng, first=int(gradients.norms.argmax()))
        return picks_first(picks, three_digits(squared) if len(picks) else gradients.norms)


def _errors(scores: np.ndarray) -> np.ndarray:
    """(n, c + 1) probabilities minus the one-hot predicted class."""
    total = scores.sum(axis=1, keepdims=True)
    nothing = 1 - total
    nothing[nothing < ROUNDING] = 0
    errors = np.concatenate([scores, nothing], axis=1)
    errors /= errors.sum(axis=1, keepdims=True)
    errors[np.arange(len(errors)), errors.argmax(axis=1)] -= 1
    return errors
