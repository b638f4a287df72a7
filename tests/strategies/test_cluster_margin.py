from __future__ import annotations

import numpy as np

from alcli.strategies.cluster_margin import ClusterMargin
from tests.support.worlds import groups, picks, signals


def test_small_groups_are_not_crowded_out():
    vectors, which = groups([70, 20, 10], distance=1000)
    margin = np.where(which == 0, 0.9, 0.8) + 0.01 * np.random.default_rng(0).random(100)
    found = picks(ClusterMargin(), signals(embedding=vectors, margin=margin), 20)
    assert {1, 2} <= set(which[found].tolist())


def test_candidates_are_the_most_uncertain():
    vectors, _ = groups([100])
    margin = np.random.default_rng(0).permutation(100) / 100
    found = picks(ClusterMargin(), signals(embedding=vectors, margin=margin), 2)
    assert margin[found].min() >= 0.8
    scores = ClusterMargin().score(signals(embedding=vectors, margin=margin), 2, np.random.default_rng(0))
    rest = np.flatnonzero(margin < 0.8)
    assert (np.argsort(-scores[rest]) == np.argsort(-margin[rest])).all()
    assert scores[rest].max() < scores[margin >= 0.8].min()
