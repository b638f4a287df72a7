from __future__ import annotations

import numpy as np
import pytest

from alcli.signals import Signals
from alcli.vectors import rows as vectors


def test_slices_cover_everything_once():
    assert [part.indices(10) for part in vectors.slices(10, 4)] == [(0, 4, 1), (4, 8, 1), (8, 10, 1)]
    assert list(vectors.slices(0)) == []


@pytest.mark.parametrize(("count", "expected"), [(0, []), (3, [0, 1, 2]), (4, [0, 2]), (6, [0, 2, 4]), (7, [0, 3, 6])])
def test_evenly_spaced_items_are_at_most_as_many_as_asked_for(count, expected):
    assert list(vectors.evenly_spaced(range(count), 3)) == expected


@pytest.mark.parametrize("in_memory", [0, 2**20])
def test_rows_are_shifted_before_they_are_rounded(in_memory, monkeypatch):
    monkeypatch.setattr(vectors, "IN_MEMORY", in_memory)
    values = 1e9 + np.arange(12.0).reshape(4, 3)
    rows = vectors.Rows(values, np.float32, shift=np.full(3, 1e9), scale=0.5)
    assert rows[:].tolist() == (np.arange(12.0).reshape(4, 3) / 2).tolist()
    assert rows[np.array([2])].dtype == np.float32
    assert len(rows) == 4


def test_the_mean_of_some_rows_is_near_that_of_all():
    values = np.random.default_rng(0).standard_normal((9001, 3)).astype(np.float16)
    assert vectors.mean(values) == pytest.approx(values.astype(np.float64).mean(axis=0))
    assert vectors.mean(values, 1000) == pytest.approx(values[::9].astype(np.float64).mean(axis=0))
    assert vectors.mean(values[:0]).tolist() == [0, 0, 0]


def test_the_scale_is_a_power_of_two_that_brings_the_largest_to_one():
    assert vectors.scale(np.array([[3.0, -5.0]])) == 1 / 8
    assert vectors.scale(np.zeros((2, 2))) == 1
    assert vectors.scale(np.zeros((0, 2))) == 1


def test_a_projection_keeps_distances_roughly():
    values = np.random.default_rng(0).standard_normal((30, 400)).astype(np.float16)
    narrow = vectors.project(values, 200, np.random.default_rng(1))
    distance = np.linalg.norm(values[:15].astype(float) - values[15:], axis=1)
    assert np.linalg.norm(narrow[:15] - narrow[15:], axis=1) == pytest.approx(distance, rel=0.25)


def test_vectors_of_the_pool_and_of_annotated_items():
    signals = Signals(["a", "b"], {"margin": np.zeros(2), "embedding": np.zeros((2, 5), np.float16)})
    assert signals.matrix("margin").shape == (2, 1)
    assert signals.labeled_matrix("embedding").shape == (0, 5)
    known = Signals(["c"], {"embedding": np.ones((1, 5), np.float16)})
    assert Signals(["a"], {"embedding": np.zeros((1, 5))}, known).labeled_matrix("embedding").shape == (1, 5)
    empty = Signals([], {"embedding": np.zeros(0)}, Signals([], {"embedding": np.zeros(0)}))
    assert empty.labeled_matrix("embedding").shape == (0, 1)
    only_known = Signals([], {"embedding": np.zeros(0)}, known)
    assert only_known.labeled_matrix("embedding").shape == (0, 1)


def test_rows_are_equal_only_if_all_of_them_are():
    same = np.ones((3000, 4), np.float16)
    assert vectors.are_equal(same) and vectors.are_equal(same[:1]) and vectors.are_equal(np.zeros((0, 4)))
    same[0, 1] = 0
    assert not vectors.are_equal(same)
    assert not vectors.are_equal(np.full((3, 2), np.nan))
