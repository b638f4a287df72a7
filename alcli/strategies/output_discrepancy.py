"""Ask for the items on which the model has changed its mind since the previous cycle."""

from __future__ import annotations

import numpy as np

from alcli.signals import Signals


class OutputDiscrepancy:
    """Prefer items whose output moved most from the previous cycle's model to this one.

    Needs: output_discrepancy (n,); all 0, and so no order, until there is a previous model. Score: ½‖p now − p
    then‖², a lower bound of the loss up to a factor. Cost: O(n), and one more forward pass.
    Source: Huang et al., "Semi-Supervised Active Learning with Temporal Output Discrepancy", ICCV 2021, section 3.
    """

    needs = frozenset({"output_discrepancy"})

    def score(self, signals: Signals, budget: int, rng: np.random.Generator) -> np.ndarray:
        """(n,) discrepancies."""
        return signals["output_discrepancy"].astype(np.float64)
