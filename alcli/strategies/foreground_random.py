"""Select at random, half of the images among those on which the model sees an object: the stricter baseline."""

from __future__ import annotations

import numpy as np

from alcli.signals import Signals
from alcli.vectors.ranking import picks_first

SHARE = 0.5
SEEN = 0.5
"""Least evidence of a class for an image to show an object."""


class ForegroundRandom:
    """Draw half of the budget among the images on which the model sees an object, and the rest among all of them.

    A strategy that does no better only avoids empty images. Where every image shows something, it is `random`.
    Needs: class_scores (n, classes). Score: picks first, in random order; the unpicked are equal. Cost: O(n).
    Source: the "foreground-aware random" baseline of nnActive (Lüth et al., TMLR 2025), for images instead of patches.
    """

    needs = frozenset({"class_scores"})
    order_in_words = "a random sample, half of it with objects"

    def score(self, signals: Signals, budget: int, rng: np.random.Generator) -> np.ndarray:
        """(n,) picks first, the unpicked equal."""
        order = rng.permutation(len(signals))
        seen = signals.matrix("class_scores").max(axis=1, initial=0)[order] >= SEEN
        first = order[seen][: round(SHARE * budget)]
        rest = order[~np.isin(order, first)]
        picks = rng.permutation(np.concatenate([first, rest])[:budget])
        return picks_first(picks, np.ones(len(signals)))
