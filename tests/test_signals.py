import numpy as np
import pytest

from alcli.errors import DataError, UsageError
from alcli.signals import UNKNOWN, Signals


def test_rows_must_match_the_items():
    with pytest.raises(DataError, match="2 rows for 3 items"):
        Signals(["a", "b", "c"], {"entropy": np.zeros(2)})
    with pytest.raises(DataError, match="twice"):
        Signals(["a", "a"], {})


def test_a_missing_signal_names_those_that_are_there():
    with pytest.raises(UsageError, match="there are: entropy"):
        Signals(["a"], {"entropy": np.zeros(1)})["margin"]


def test_finite_looks_at_every_column_of_every_signal():
    signals = Signals(
        list("abcd"),
        {"entropy": np.array([0, np.nan, 1, 2.0]), "embedding": np.array([[0, 0], [0, 0], [0, np.inf], [0, 0]])},
    )
    assert signals.finite().tolist() == [True, False, False, True]
    assert list(signals.take(signals.finite()).item_ids) == ["a", "d"]
    assert list(signals.take(np.array([3, 0])).item_ids) == ["d", "a"]


def test_an_unknown_uncertainty_counts_as_a_typical_one():
    margin = np.array([0.2, UNKNOWN, 0.6, 0.4], np.float32)
    filled = Signals(list("abcd"), {"margin": margin, "predicted_loss": -np.ones(4)}).with_typical_for_unknown()
    assert filled["margin"].tolist() == pytest.approx([0.2, 0.4, 0.6, 0.4])
    assert filled["predicted_loss"].tolist() == [-1] * 4
    alone = Signals(["a"], {"entropy": np.array([UNKNOWN])}).with_typical_for_unknown()
    assert alone["entropy"].tolist() == [0]
