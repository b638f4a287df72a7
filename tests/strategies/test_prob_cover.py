from __future__ import annotations

import numpy as np
import pytest

from alcli.strategies import prob_cover
from alcli.strategies.prob_cover import ProbCover
from tests.support.worlds import groups, picks, signals


def pool(vectors, known=None, classes=3):
    return signals(known, embedding=vectors, class_scores=np.full((len(vectors), classes), 1 / classes))


def test_dense_groups_come_first_and_annotated_ones_last():
    vectors, which = groups([10, 40, 20])
    assert which[picks(ProbCover(), pool(vectors), 3)].tolist() == [1, 2, 0]
    known = groups([0, 5, 0])[0]
    assert which[picks(ProbCover(), pool(vectors, known), 2)].tolist() == [2, 0]


def test_the_radius_is_the_largest_at_which_the_wanted_share_of_balls_is_pure():
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((300, 2))
    squared = prob_cover._purity_radius(vectors, 4, np.random.default_rng(5))
    labels = prob_cover.cluster(vectors, 4, np.random.default_rng(5)).labels
    table = np.square(vectors[:, None] - vectors).sum(axis=2)

    def purity(limit):
        strangers = labels[:, None] != labels
        return 1 - ((table < limit) & strangers).any(axis=1).mean()

    assert purity(squared * (1 - 1e-9)) >= 0.95
    assert purity(squared * (1 + 1e-9)) < 0.95


def test_each_pick_covers_most_of_what_is_left(monkeypatch):
    vectors = np.random.default_rng(1).random((120, 2))
    monkeypatch.setattr(prob_cover, "_purity_radius", lambda *_: 0.04)
    near = np.square(vectors[:, None] - vectors).sum(axis=2) < 0.04
    expected, left = [], np.ones(120, dtype=bool)
    while left.any():
        expected.append(int((near & left).sum(axis=1).argmax()))
        left &= ~near[expected[-1]]
    assert picks(ProbCover(), pool(vectors), len(expected)) == expected
    beyond = picks(ProbCover(), pool(vectors), len(expected) + 5)
    assert beyond[: len(expected)] == expected
    assert len(set(beyond)) == len(expected) + 5


def test_annotated_items_far_from_all_others_change_nothing():
    vectors = np.random.default_rng(2).random((150, 3))
    alone = picks(ProbCover(), pool(vectors), 20)
    assert picks(ProbCover(), pool(vectors, np.full((100, 3), 40.0)), 20) == alone


@pytest.mark.parametrize("name", ["COVERED", "SAMPLED"])
def test_samples_stand_for_large_pools(name, monkeypatch):
    monkeypatch.setattr(prob_cover, name, 150)
    vectors, which = groups([100, 400, 200])
    assert which[picks(ProbCover(), pool(vectors), 3)].tolist() == [1, 2, 0]
