from __future__ import annotations

import numpy as np

from alcli.strategies.core_set import CoreSet
from tests.support.worlds import groups, picks, signals

LINE = np.array([[0.0], [1.0], [2.0], [6.0], [10.0]])


def test_the_farthest_from_what_is_annotated_comes_first():
    assert picks(CoreSet(), signals(LINE[:1], embedding=LINE), 3) == [4, 3, 2]


def test_without_annotated_items_it_begins_in_the_middle():
    assert picks(CoreSet(), signals(embedding=LINE), 3) == [2, 4, 3]


def test_what_is_not_picked_follows_by_distance():
    scores = CoreSet().score(signals(LINE[:1], embedding=LINE), 1, np.random.default_rng(0))
    assert np.argsort(-scores, kind="stable").tolist() == [4, 3, 2, 1, 0]


def test_every_group_is_met_before_any_twice():
    vectors, which = groups([30, 5, 12, 1])
    chosen = picks(CoreSet(), signals(vectors[:1], embedding=vectors), 3)
    assert set(which[chosen]) == {1, 2, 3}
