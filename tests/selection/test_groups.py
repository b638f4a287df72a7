from __future__ import annotations

import numpy as np

from alcli.selection.groups import connect, near_pairs, pairs_of_equals, typical_distance


def vectors(*degrees: float) -> np.ndarray:
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1) * np.arange(1, len(degrees) + 1)[:, None]


def test_the_typical_distance_is_the_median_over_pairs_whatever_the_lengths():
    # Pairs 0-60, 0-90 and 60-90 degrees: 1 − cosine is .5, 1 and .134.
    assert np.isclose(typical_distance(vectors(0, 60, 90)), 0.5)
    assert typical_distance(vectors(0)) == typical_distance(np.zeros((0, 2))) == 0
    assert typical_distance(np.ones((5, 2))) == 0
    assert np.isclose(typical_distance(np.random.default_rng(0).standard_normal((5000, 8))), 1, atol=0.05)


def test_near_pairs_have_one_of_the_rows_in_them_and_are_nearer_than_the_limit():
    ones, others, distances = near_pairs(vectors(0, 5, 40, 44, 90), np.array([1, 4]), 0.01)
    assert list(zip(ones.tolist(), others.tolist(), strict=True)) == [(1, 0)]
    assert np.allclose(distances, 1 - np.cos(np.radians(5)), atol=1e-6)
    both = near_pairs(vectors(0, 5, 40, 44, 90), np.arange(5), 0.01)
    assert sorted(zip(both[0].tolist(), both[1].tolist(), strict=True)) == [(0, 1), (1, 0), (2, 3), (3, 2)]
    assert not len(near_pairs(vectors(0, 0, 0), np.arange(3), 0.0)[0])


def test_rows_that_are_not_numbers_are_near_to_nothing():
    broken = vectors(0, 1, 2)
    broken[1] = np.nan
    ones, others, _ = near_pairs(broken, np.arange(3), 0.1)
    assert sorted(zip(ones.tolist(), others.tolist(), strict=True)) == [(0, 2), (2, 0)]


def test_a_chain_of_pairs_is_one_group():
    groups = connect(6, np.array([0, 1, 4]), np.array([1, 2, 5]))
    assert groups[0] == groups[1] == groups[2] != groups[3]
    assert groups[4] == groups[5] != groups[3]


def test_equal_keys_are_connected_and_none_is_equal_to_nothing():
    groups = connect(6, *pairs_of_equals(["a", None, "b", "a", None, "a"]))
    assert groups[0] == groups[3] == groups[5]
    assert len(set(groups.tolist())) == 4
