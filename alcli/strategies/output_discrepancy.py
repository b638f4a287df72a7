"""Select the items whose predictions changed most since the previous cycle."""

from __future__ import annotations

import numpy as np

from alcli.signals import Signals


class OutputDiscrepancy:
    """Prefer items whose outputs differ most between this model and the previous cycle's.

    Needs: output_discrepancy (n,); all 0, hence no order, without a previous model. Score: ½‖p − p_previous‖², up to
    a factor a lower bound of the loss. Cost: O(n), plus one more forward pass.
    Source: Huang et al., "Semi-Supervised Active Learning with Temporal Output Discrepancy", ICCV 2021, section 3.
    """

    needs = frozenset({"output_discrepancy"})

    def score(self, signals: Signals, budget: int, rng: np.random.Generator) -> np.ndarray:
        """(n,) discrepancies."""
        return signals["output_discrepancy"].astype(np.float64)
