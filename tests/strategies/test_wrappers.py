from __future__ import annotations

import numpy as np

from alcli.strategies import make_strategy
from alcli.strategies.class_balanced import ClassBalanced
from alcli.strategies.cost_normalised import CostNormalised
from alcli.strategies.diverse import Diverse
from alcli.strategies.learned_loss import LearnedLoss
from alcli.strategies.margin import Margin
from tests.support.worlds import picks, signals


def test_needs_are_those_of_both():
    nested = make_strategy("diverse:class-balanced:core-set")
    assert nested.needs == {"embedding", "class_scores"}
    assert nested.needs_labeled == {"embedding"}
    assert make_strategy("cost-normalised:margin").needs_labeled == frozenset()


def test_each_predicted_class_gets_its_share_of_the_budget():
    classes = np.repeat([0, 1, 2], [20, 6, 2])
    margin = np.concatenate([np.linspace(0.9, 1, 20), np.linspace(0.5, 0.6, 6), [0.1, 0.2]])
    pool = signals(class_scores=np.eye(3)[classes], margin=margin)
    found = picks(ClassBalanced(Margin()), pool, 6)
    assert np.bincount(classes[found]).tolist() == [2, 2, 2]
    assert found[:3] == [19, 25, 27]
    # Two of the third class are all there are; the others share what it leaves.
    assert np.bincount(classes[picks(ClassBalanced(Margin()), pool, 12)]).tolist() == [5, 5, 2]


def test_images_in_which_nothing_is_seen_are_a_class_of_their_own():
    scores = np.array([[0.9, 0.0], [0.8, 0.0], [0.7, 0.1], [0.0, 0.0]])
    pool = signals(class_scores=scores, margin=np.array([0.9, 0.8, 0.7, 0.0]))
    assert picks(ClassBalanced(Margin()), pool, 2) == [0, 3]


def test_diverse_leaves_out_what_is_much_alike():
    margin = np.array([1.0, 0.99, 0.98, 0.97, 0.5, 0.4, 0.3, 0.2, 0.1])
    vectors = np.array([[0.0], [0.01], [0.02], [0.0], [5.0], [5.0], [9.0], [0.0], [100.0]])
    pool = signals(embedding=vectors, margin=margin)
    # Row 8 is the farthest of all but none of the four times two best.
    assert picks(Diverse(Margin()), pool, 2) == [0, 6]
    scores = Diverse(Margin()).score(pool, 2, np.random.default_rng(0))
    assert np.argsort(-scores, kind="stable").tolist() == [0, 6, 1, 2, 3, 4, 5, 7, 8]


def test_the_wrapped_strategy_is_asked_for_all_candidates():
    class Noting(Margin):
        def score(self, signals, budget, rng):
            self.asked = budget
            return super().score(signals, budget, rng)

    inner = Noting()
    Diverse(inner).score(signals(embedding=np.zeros((50, 1)), margin=np.zeros(50)), 3, np.random.default_rng(0))
    assert inner.asked == 12


def test_refine_takes_one_of_each_uncertain_group_and_nothing_certain():
    groups = np.repeat(np.arange(8), 25)
    vectors = np.eye(8, 16)[groups] + 0.02 * np.random.default_rng(0).normal(size=(200, 16))
    pool = signals(embedding=vectors, margin=np.where(groups < 4, 0.9, 0.05))
    strategy = make_strategy("refine:margin")
    assert strategy.needs == {"embedding", "margin"} and strategy.needs_labeled == {"embedding"}
    assert sorted(groups[picks(strategy, pool, 4)].tolist()) == [0, 1, 2, 3]
    assert picks(strategy, pool, 4) == picks(strategy, pool, 4)


def test_refine_is_herding_where_parts_of_the_pool_would_be_chosen_whole():
    rng = np.random.default_rng(0)
    pool = signals(embedding=rng.normal(size=(20, 4)), margin=rng.random(20))
    assert picks(make_strategy("refine:margin"), pool, 8) == picks(make_strategy("herding"), pool, 8)


def test_cost_divides_by_objects_and_never_by_less_than_one():
    pool = signals(predicted_loss=np.array([8.0, 3.0, 1.0]), expected_objects=np.array([4.0, 1.0, 0.1]))
    scores = CostNormalised(LearnedLoss()).score(pool, 1, np.random.default_rng(0))
    assert scores.tolist() == [2, 3, 1]


def test_negative_scores_are_first_lifted_so_that_crowds_gain_nothing_by_division():
    pool = signals(predicted_loss=np.array([-8.0, -8.0, 2.0]), expected_objects=np.array([1.0, 100.0, 5.0]))
    scores = CostNormalised(LearnedLoss()).score(pool, 1, np.random.default_rng(0))
    assert scores.tolist() == [0, 0, 2]
