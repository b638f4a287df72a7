"""Select equally many items of each predicted class, the best of each by another strategy."""

from __future__ import annotations

import numpy as np

from alcli.signals import Signals
from alcli.strategies._wrapper import Wrapper
from alcli.vectors.ranking import by_turns


class ClassBalanced(Wrapper):
    """Take one item of each predicted class by turns, the wrapped strategy's best of the class.

    ``class-balanced:margin`` gives each class an equal share of the budget; if a class has too few items, the other
    classes get its share. Images in which the model detects nothing are a class of their own. The wrapped strategy
    orders the items within a class (the paper uses the distance to the nearest decision boundary, which margin is
    close to).
    Needs: class_scores (n, c), and what the wrapped strategy needs. Score: turn by turn, within a turn by the wrapped
    score. Cost: O(n log n) extra. Source: Emam et al., "Active Learning at the ImageNet Scale", 2021
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
