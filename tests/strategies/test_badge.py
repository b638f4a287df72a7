from __future__ import annotations

import numpy as np
import pytest

from alcli.strategies.badge import Badge
from tests.support.worlds import picks, signals
from tests.vectors.test_kmeans import assert_law, exact_law

rng = np.random.default_rng(0)
VECTORS = rng.standard_normal((7, 3))
PROBABILITIES = rng.dirichlet([1, 1, 1], 7)
GRADIENTS = np.einsum("nc,nd->ncd", PROBABILITIES - np.eye(3)[PROBABILITIES.argmax(1)], VECTORS).reshape(7, -1)


def test_the_first_picks_have_the_law_of_sequential_seeding_over_whole_gradients():
    pool = signals(embedding=VECTORS, class_scores=PROBABILITIES)
    squared = np.square(GRADIENTS[:, None] - GRADIENTS).sum(axis=2)
    found = [tuple(picks(Badge(), pool, 3, seed)) for seed in range(4000)]
    assert_law(found, exact_law(squared, np.ones(7), int(np.square(GRADIENTS).sum(axis=1).argmax()), 3))


def test_the_rest_follows_by_distance_to_the_picks():
    scores = Badge().score(signals(embedding=VECTORS, class_scores=PROBABILITIES), 1, np.random.default_rng(0))
    first = int(scores.argmax())
    squared = np.square(GRADIENTS - GRADIENTS[first]).sum(axis=1)
    squared[first] = np.inf
    assert np.argsort(-scores).tolist() == np.argsort(-squared).tolist()


def test_certain_items_share_one_gradient_and_so_at_most_one_pick():
    scores = np.array([[1.0, 0], [0.6, 0.4], [0, 1], [0.2, 0.8], [1, 0], [0.5, 0.5]])
    for seed in range(20):
        found = picks(Badge(), signals(embedding=np.arange(6)[:, None] + 1.0, class_scores=scores), 4, seed)
        assert len({0, 2, 4} & set(found)) == 1


def test_copies_are_not_picked_twice():
    pool = signals(embedding=np.repeat(VECTORS, 3, axis=0), class_scores=np.repeat(PROBABILITIES, 3, axis=0))
    for seed in range(20):
        assert len({row // 3 for row in picks(Badge(), pool, 7, seed)}) == 7


def test_one_class_that_is_always_certain_gives_equal_scores():
    assert not Badge().score(signals(embedding=VECTORS, class_scores=np.ones((7, 1))), 3, rng).any()


def test_what_scores_lack_to_one_is_left_to_nothing():
    """One class seen with 0.5 is as unsure as two classes with one half each."""
    alone = signals(embedding=VECTORS, class_scores=np.linspace(0.1, 1, 7)[:, None])
    shares = np.linspace(0.1, 1, 7)
    both = signals(embedding=VECTORS, class_scores=np.stack([shares, 1 - shares], axis=1))
    for seed in range(5):
        assert picks(Badge(), alone, 4, seed) == picks(Badge(), both, 4, seed)


@pytest.mark.parametrize("factor", [2.0, 10.0])
def test_sums_above_one_are_divided_by(factor):
    pool = signals(embedding=VECTORS, class_scores=PROBABILITIES)
    more = signals(embedding=VECTORS, class_scores=factor * PROBABILITIES)
    assert picks(Badge(), pool, 4) == picks(Badge(), more, 4)
