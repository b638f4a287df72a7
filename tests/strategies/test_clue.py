from __future__ import annotations

import numpy as np

from alcli.strategies.clue import Clue
from tests.support.worlds import groups, picks, signals


def test_one_of_each_uncertain_group_the_most_uncertain_first():
    vectors, which = groups([30, 30, 30])
    entropy = np.array([0.1, 1.0, 0.5])[which]
    chosen = picks(Clue(), signals(embedding=vectors, entropy=entropy), 3)
    assert which[chosen].tolist() == [1, 2, 0]


def test_the_center_is_drawn_to_where_the_model_is_unsure():
    vectors = np.linspace(0, 1, 101)[:, None]
    entropy = np.where(vectors[:, 0] > 0.9, 1.0, 1e-6)
    assert 90 < picks(Clue(), signals(embedding=vectors, entropy=entropy), 1)[0] <= 100


def test_the_rest_follows_by_entropy():
    vectors, _ = groups([10])
    entropy = np.random.default_rng(0).random(10)
    scores = Clue().score(signals(embedding=vectors, entropy=entropy), 1, np.random.default_rng(0))
    first = int(scores.argmax())
    rest = [row for row in np.argsort(-entropy).tolist() if row != first]
    assert np.argsort(-scores).tolist() == [first, *rest]
