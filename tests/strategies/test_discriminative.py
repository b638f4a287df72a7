from __future__ import annotations

import numpy as np
import pytest

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


def test_the_fit_is_at_the_minimum():
    rng = np.random.default_rng(0)
    design = rng.standard_normal((200, 5))
    wanted = rng.random(200) < 1 / (1 + np.exp(-2 * design[:, 0] + 1))
    weights, intercept = discriminative._logistic(design, wanted)
    errors = 1 / (1 + np.exp(-design @ weights - intercept)) - wanted
    assert design.T @ errors + weights == pytest.approx(np.zeros(5), abs=1e-7)
    assert errors.sum() == pytest.approx(0, abs=1e-7)


def test_classes_far_apart_do_not_overflow():
    weights, intercept = discriminative._logistic(np.array([[-1e3], [1e3]]), np.array([False, True]))
    assert np.isfinite([*weights, intercept]).all()
