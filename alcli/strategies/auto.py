"""The default: cover the uncertain part of the pool, in the worst case the pool itself."""

from __future__ import annotations

import numpy as np

from alcli.signals import Signals
from alcli.strategies.herding import kernel_width
from alcli.vectors.coverage import cosine, gaussian, pick_covering, unit_rows
from alcli.vectors.ranking import picks_first

FLOOR = 0.1
"""Share of the mean weight that every item has at least: it can still be chosen to cover its like."""
ALIKE = 1e-3
"""Range of expected objects below which, up to rounding, every item has the same number: one."""


class Auto:
    """Pick items one by one, each like many uncertain items that no annotated item and no earlier pick is like.

    With one object per item (classification) this is `herding`: an item is worth its margin. With boxes, joints or
    pixels, the margin of an image says little about what the model gets wrong; an item is then worth its class
    uncertainty, rare classes counting more: √((mean + 1) / (count + 1)) of the annotated objects of each class;
    likeness is the cosine. No item is worth less than a tenth of the mean. In a cycle, worths count as far as they
    follow the model's errors on the held-out images: where those speak against it, every item is worth the same, and
    the pool is covered as by `facility-location`. With fewer than 10 of them worths count by 95 %. For boxes they
    always do: a sum over boxes is smallest where a detector sees nothing, and there it errs most.
    A share of every list (`strategy.random_share`, 5 %) is drawn at random as a control group.
    Needs: embedding (n, d) of the pool and of annotated items, margin (n,), class_uncertainty (n, classes),
    expected_objects (n,). Score: picks first, then by worth. Cost: that of `facility-location`.
    Source: Bae, Oh, Yeo & Sutherland, "Uncertainty Herding: One Active Learning Method for All Label Budgets", ICLR
    2025, equation 5; the classes' weights as in Sharma et al., "PAL", CVPR 2026, in another form.
    """

    needs = frozenset({"embedding", "margin", "class_uncertainty", "expected_objects"})
    needs_labeled = frozenset({"embedding"})
    default_random_share = 0.05
    order_in_words = "images that stand for many uncertain ones"
    otherwise = ("learned-loss", "margin", "entropy", "foreground-random", "random")
    """For tasks and learners without these signals; every network of a task has a loss head."""

    def score(self, signals: Signals, budget: int, rng: np.random.Generator) -> np.ndarray:
        """(n,) picks first, the unpicked by worth."""
        vectors = unit_rows(signals.matrix("embedding"))
        labeled = unit_rows(signals.labeled_matrix("embedding"))
        single = has_single_objects(signals)
        worth = signals["margin"].astype(np.float64) if single else class_worth(signals)
        trust = 1.0 if signals.trust is None else signals.trust.get(self.weighs_by(signals), 0.0)
        weights = flattened(worth, trust)
        kernel = gaussian(kernel_width(labeled)) if single else cosine
        return picks_first(pick_covering(vectors, budget, labeled, weights, kernel, rng), weights)

    def weighs_by(self, signals: Signals) -> str:
        """The uncertainty that items are worth; it counts as far as it is trusted (``Signals.trust``)."""
        return "margin" if has_single_objects(signals) else "class_uncertainty"


def has_single_objects(signals: Signals) -> bool:
    """Whether every item has the same number of objects, as in classification."""
    return not len(signals) or bool(np.ptp(signals["expected_objects"]) < ALIKE)


def flattened(worth: np.ndarray, trust: float) -> np.ndarray:
    """(n,) weights of mean 1 between equal ones (trust 0) and the worth of each item (1), none below a tenth."""
    if not worth.any():
        return np.ones(len(worth))
    return np.maximum(trust * worth / worth.mean() + (1 - trust), FLOOR)


def class_worth(signals: Signals) -> np.ndarray:
    """(n,) class uncertainties, summed with the rarity of the classes as weights."""
    uncertainty = signals.matrix("class_uncertainty").astype(np.float64)  # (n, classes)
    if signals.class_counts is None:
        return np.asarray(uncertainty.sum(axis=1))
    counts = np.array(signals.class_counts, dtype=np.float64)
    return np.asarray(uncertainty @ np.sqrt((counts.mean() + 1) / (counts + 1)))
