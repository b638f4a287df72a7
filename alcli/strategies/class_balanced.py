"""Ask for as many items of each predicted class, the best of each by another strategy."""

from __future__ import annotations

import numpy as np

from alcli.signals import Signals
from alcli.strategies._wrapper import Wrapper
from alcli.vectors.ranking import by_turns


class ClassBalanced(Wrapper):
    """Take one item of each predicted class by turns, in a class the wrapped strategy's best.

    ``class-balanced:margin`` gives each class an equal share of the budget; what a class has too few items for goes to
    the others. An image in which the model sees nothing has a class of its own. Where an item lies in its class is left
    to the wrapped strategy (the paper takes the distance to the nearest decision boundary: margin is next to it).
    Needs: class_scores (n, c), and what the wrapped strategy needs. Score: turn by turn, in a turn by the wrapped
    score. Cost: O(n log n) on top. Source: Emam et al., "Active Learning at the ImageNet Scale", 2021
    (balanced selection, BASE).
    """

    needs = frozenset({"class_scores"})

    def score(self, signals: Signals, budget: int, rng: np.random.Generator) -> np.ndarray:
        """(n,) distinct whole numbers."""
        scores = self.inner.score(signals, budget, rng)
        if not len(signals):
            return scores
        evidence = signals.matrix("class_scores")
        classes = np.where(evidence.max(axis=1) > 0, evidence.argmax(axis=1), -1)
        return by_turns(classes, scores, scores)
