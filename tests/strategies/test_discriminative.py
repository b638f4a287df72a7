from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from alcli.strategies import discriminative
from alcli.strategies.discriminative import Discriminative
from tests.support.worlds import groups, picks, signals


def test_what_lies_apart_from_the_annotated_comes_first():
    vectors, which = groups([40, 40], distance=10)
    found = picks(Discriminative(), signals(groups([15, 0], distance=10, seed=1)[0], embedding=vectors), 8)
    assert (which[found] == 1).all()


def test_picks_of_one_part_count_as_annotated_in_the_next():
    vectors, which = groups([30, 30, 30], distance=10)
    found = picks(Discriminative(), signals(groups([10, 0, 0], distance=10, seed=1)[0], embedding=vectors), 20)
    assert set(which[found].tolist()) >= {1, 2}
    assert len(set(found)) == 20


def test_the_fit_is_that_of_a_penalised_logistic_regression():
    rng = np.random.default_rng(0)
    design = np.concatenate([rng.standard_normal((200, 5)), np.ones((200, 1))], axis=1)
    wanted = rng.random(200) < 1 / (1 + np.exp(-2 * design[:, 0] + 1))
    weights = discriminative._logistic(design, wanted)
    other = LogisticRegression(C=1.0, tol=1e-10).fit(design[:, :-1], wanted)
    assert weights[:-1] == pytest.approx(other.coef_[0], abs=1e-3)
    assert weights[-1] == pytest.approx(other.intercept_[0], abs=1e-3)


def test_classes_far_apart_do_not_overflow():
    design = np.array([[-1e3, 1.0], [1e3, 1.0]])
    assert np.isfinite(discriminative._logistic(design, np.array([False, True]))).all()
