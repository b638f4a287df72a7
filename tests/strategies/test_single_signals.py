from __future__ import annotations

import numpy as np
import pytest

from alcli.strategies import make_strategy
from tests.support.worlds import signals

READ = {
    "margin": "margin",
    "least-confidence": "least_confidence",
    "bald": "mutual_information",
    "output-discrepancy": "output_discrepancy",
    "entropy": "entropy",
    "learned-loss": "predicted_loss",
}


@pytest.mark.parametrize("name", READ)
def test_the_score_is_the_signal(name):
    values = np.array([0.25, 0.75, 0.5], np.float32)
    scores = make_strategy(name).score(signals(**{READ[name]: values}), 2, np.random.default_rng(0))
    assert scores.tolist() == values.tolist()
    assert make_strategy(name).needs == {READ[name]}
