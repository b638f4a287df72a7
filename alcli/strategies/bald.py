"""Select the items on which dropout samples of the network disagree."""

from __future__ import annotations

import numpy as np

from alcli.signals import Signals


class Bald:
    """Prefer items whose label would reveal most about the model's parameters.

    Needs: mutual_information (n,). Score: H(mean p) − mean H(p) over dropout passes, in nats, aggregated by the
    task. Cost: O(n), plus the dropout passes of the last layer (task.dropout_passes).
    Source: Houlsby et al., "Bayesian Active Learning for Classification", 2011, equation 2; Gal et al., ICML 2017,
    section 4.
    """

    needs = frozenset({"mutual_information"})

    def score(self, signals: Signals, budget: int, rng: np.random.Generator) -> np.ndarray:
        """(n,) mutual informations."""
        return signals["mutual_information"].astype(np.float64)
