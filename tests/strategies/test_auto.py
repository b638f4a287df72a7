from __future__ import annotations

import numpy as np

from alcli.signals import Signals
from alcli.strategies.auto import CANDIDATES, Auto


def made(objects: np.ndarray) -> Signals:
    """Two hundred items on a line; the right half is certain, the left is not."""
    place = np.arange(200.0)
    margin = np.where(place < 100, 0.9 - place / 1000, 0.2)
    arrays = {"embedding": place[:, None], "margin": margin, "expected_objects": objects}
    return Signals([f"{n:03}" for n in range(200)], arrays)


def picks(signals: Signals, budget: int) -> np.ndarray:
    scores = Auto().score(signals, budget, np.random.default_rng(0))
    return np.argsort(-scores, kind="stable")[:budget]


def test_with_one_object_an_item_only_the_least_certain_are_candidates_and_picks_are_spread_over_them():
    found = picks(made(np.ones(200)), 4)
    assert found.max() < CANDIDATES * 4
    assert len(set((found // 5).tolist())) == 4


def test_with_many_objects_the_whole_pool_is_looked_at():
    found = picks(made(np.linspace(1, 9, 200)), 4)
    assert found.max() >= 100
    assert (found < 100).sum() >= 2


def test_rounding_does_not_make_one_object_many():
    signals = made(1 + np.random.default_rng(0).normal(0, 1e-6, 200))
    assert picks(signals, 4).max() < CANDIDATES * 4


def test_margins_that_say_nothing_leave_a_spread_over_the_pool():
    signals = made(np.linspace(1, 9, 200))
    flat = Signals(signals.item_ids, {**signals.arrays, "margin": np.zeros(200)})
    assert sorted((picks(flat, 4) // 50).tolist()) == [0, 1, 2, 3]
