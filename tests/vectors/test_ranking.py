from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from alcli.vectors.ranking import by_turns, picks_first, three_digits, top_k

few = st.lists(st.sampled_from([0.0, 1.0, -1.0, 0.5, 1e300, -1e-300]), max_size=40).map(np.array)


@given(few, st.integers(0, 50))
def test_the_best_are_those_of_a_full_stable_sort(scores, count):
    assert top_k(scores, count).tolist() == np.argsort(-scores, kind="stable")[:count].tolist()


@given(few.filter(len), st.randoms())
def test_picks_stand_first_in_their_order_and_the_rest_keep_theirs(others, random):
    rows = list(range(len(others)))
    random.shuffle(rows)
    picks = np.array(rows[: random.randint(0, len(rows))], dtype=np.int64)
    scores = picks_first(picks, others)
    order = np.argsort(-scores, kind="stable").tolist()
    rest = [row for row in np.argsort(-others, kind="stable").tolist() if row not in picks]
    assert order == picks.tolist() + rest
    left = np.setdiff1d(np.arange(len(others)), picks)
    assert (scores[left] <= 0).all()
    assert len(np.unique(scores[left])) == len(np.unique(others[left]))


def test_turns_take_one_of_each_group():
    groups = np.array([0, 0, 0, 1, 1, 2])
    within = np.array([1.0, 3, 2, 5, 5, 0])
    turn = np.array([0.0, 0, 0, 1, 1, 2])
    order = np.argsort(-by_turns(groups, within, turn)).tolist()
    assert order == [5, 3, 1, 4, 2, 0]


def test_three_digits_are_what_a_product_cannot_change():
    values = np.array([0.0, 1.0, 123.456, 1e-20, 1e20, np.inf])
    assert (three_digits(values) == three_digits(values.astype(np.float32))).all()
    assert (three_digits(np.array([1.5, 1.5000001]))[0]) == three_digits(np.array([1.5000001]))[0]
    assert np.abs(three_digits(values[1:5]) / values[1:5] - 1).max() < 1e-3
