from __future__ import annotations

import numpy as np

from alcli.strategies.typiclust import Typiclust
from tests.support.worlds import groups, picks, signals


def test_the_largest_group_without_annotations_comes_first():
    vectors, which = groups([40, 20, 30])
    known = groups([0, 0, 3])[0]
    assert which[picks(Typiclust(), signals(known, embedding=vectors), 2)].tolist()[:1] == [0]
    assert which[picks(Typiclust(), signals(embedding=vectors), 3)].tolist() == [0, 2, 1]


def test_the_densest_item_speaks_for_its_group():
    vectors = np.concatenate([np.linspace(-5, 5, 30), np.linspace(-0.1, 0.1, 11)])[:, None]
    assert picks(Typiclust(), signals(embedding=vectors), 1)[0] >= 29


def test_groups_of_up_to_five_come_last():
    vectors, which = groups([40, 5, 6])
    order = np.argsort(-Typiclust().score(signals(embedding=vectors), 3, np.random.default_rng(0)))
    assert set(which[order[-5:]].tolist()) == {1}


def test_turns_go_on_through_the_whole_pool():
    vectors, which = groups([20, 20])
    chosen = picks(Typiclust(), signals(vectors[:0], embedding=vectors), 2)
    assert set(which[chosen].tolist()) == {0, 1}
    scores = Typiclust().score(signals(embedding=vectors), 2, np.random.default_rng(0))
    assert len(set(scores.tolist())) == 40
