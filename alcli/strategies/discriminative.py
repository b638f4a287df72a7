"""Select the items that a classifier distinguishes best from the annotated ones."""

from __future__ import annotations

import numpy as np

from alcli.signals import Signals
from alcli.vectors.neighbors import center_and_scale
from alcli.vectors.ranking import picks_first, top_k
from alcli.vectors.rows import Rows, slices

PARTS = 10
"""Parts of the budget; the discriminator is refitted before each."""
RATIO = 10
"""Largest ratio of unannotated to annotated items in the discriminator's training set."""
PENALTY = 1.0


class Discriminative:
    """Prefer items that a classifier of annotated and unannotated items most confidently calls unannotated.

    The budget is chosen in ten parts; each part counts as annotated for the next. The discriminator is a logistic
    regression on standardized embeddings (a small network in the paper); without annotated items the first part is
    random.
    Needs: embedding (n, d) of the pool and of annotated items. Score: picks first, then by the last discriminator's
    log-odds. Cost: ten Newton fits, each O(d²) for up to 11 items per annotated one, and O(n · d) for the odds.
    Source: Gissin & Shalev-Shwartz, "Discriminative Active Learning", 2019, section 3 and algorithm 1.
    """

    needs = frozenset({"embedding"})
    needs_labeled = frozenset({"embedding"})

    def score(self, signals: Signals, budget: int, rng: np.random.Generator) -> np.ndarray:
        """(n,) picks first, the unpicked by log-odds."""
        vectors, labeled = signals.matrix("embedding"), signals.labeled_matrix("embedding")
        count = len(vectors)
        if not count:
            return np.zeros(0)
        rows = center_and_scale(np.concatenate([vectors, labeled]))
        annotated = np.arange(count, len(rows))
        odds, picks = np.zeros(count), np.zeros(0, dtype=np.int64)
        for part in np.array_split(np.arange(min(budget, count)), PARTS):
            if not len(part):
                continue
            if len(annotated):
                odds = _log_odds(rows, annotated, np.setdiff1d(np.arange(count), picks), count, rng)
            open_odds = odds.copy() if len(annotated) else rng.random(count)
            open_odds[picks] = -np.inf
            chosen = top_k(open_odds, len(part))
            picks, annotated = np.concatenate([picks, chosen]), np.concatenate([annotated, chosen])
        return picks_first(picks, odds)


def _log_odds(
    rows: Rows, annotated: np.ndarray, others: np.ndarray, count: int, rng: np.random.Generator
) -> np.ndarray:
    """Log-odds of being unannotated (count,), to nine digits: further digits depend on the machine."""
    size = min(RATIO * len(annotated), len(others))
    sample = np.sort(rng.choice(others, size=size, replace=False))
    vectors = rows[np.concatenate([annotated, sample])]
    middle, spread = vectors.mean(axis=0), vectors.std(axis=0)
    spread[spread < 1e-12] = 1.0
    weights, intercept = _logistic((vectors - middle) / spread, np.arange(len(vectors)) >= len(annotated))
    slope = weights / spread
    products = [rows[part] @ slope for part in slices(count)]
    return np.round(np.concatenate(products) - middle @ slope + intercept, 9)


def _logistic(design: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, float]:
    """Weights (d,) and intercept of an L2-penalized logistic regression."""
    # Imported here: scikit-learn takes two seconds to load, and no other strategy needs it.
    from sklearn.linear_model import LogisticRegression

    # With lbfgs, the default, the ninth digit depends on threads and processor.
    model = LogisticRegression(C=1 / PENALTY, solver="newton-cholesky", tol=1e-10).fit(design, wanted)
    return model.coef_[0], float(model.intercept_[0])
