from __future__ import annotations

import numpy as np
import pytest

from alcli.vectors import neighbors
from alcli.vectors.rows import Rows

rng = np.random.default_rng(0)
VECTORS = rng.standard_normal((1300, 4))
TABLE = np.square(VECTORS[:, None] - VECTORS).sum(axis=2)


def test_distances_of_equal_rows_are_exactly_zero():
    vectors = np.repeat(VECTORS[:20], 2, axis=0) + 50
    table = neighbors.squared_distances(vectors, vectors)
    assert (table[::2, 1::2].diagonal() == 0).all()
    assert table == pytest.approx(np.square(vectors[:, None] - vectors).sum(axis=2), abs=1e-9)


def test_nearest_centers():
    places, squared = neighbors.nearest(Rows(VECTORS, np.float64), VECTORS[:7])
    assert (places == TABLE[:, :7].argmin(axis=1)).all()
    assert squared == pytest.approx(TABLE[:, :7].min(axis=1), abs=1e-9)


def test_mean_distance_to_neighbors_leaves_the_row_itself_out():
    expected = np.sqrt(np.sort(TABLE, axis=1)[:, 1:6]).mean(axis=1)
    assert neighbors.mean_neighbor_distance(VECTORS, 5) == pytest.approx(expected)
    assert neighbors.mean_neighbor_distance(VECTORS[:2], 5) == pytest.approx([TABLE[0, 1] ** 0.5] * 2)
    assert neighbors.mean_neighbor_distance(VECTORS[:1], 5).tolist() == [0]


def test_distance_to_other_groups():
    groups = np.arange(1300) % 3
    expected = np.where(groups[:, None] == groups, np.inf, TABLE).min(axis=1)
    assert neighbors.distance_to_other_groups(VECTORS, groups) == pytest.approx(expected)
    assert np.isinf(neighbors.distance_to_other_groups(VECTORS, np.zeros(1300))).all()


def test_how_many_lie_within():
    counts = neighbors.count_within(Rows(VECTORS, np.float64), VECTORS[:900], 0.5)
    assert (counts == (TABLE[:, :900] < 0.5).sum(axis=1)).all()
    assert not neighbors.count_within(Rows(VECTORS, np.float64), VECTORS[:0], 0.5).any()
