import numpy as np
import pytest

from alcli.errors import DataError, UsageError
from alcli.signals import Signals


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
