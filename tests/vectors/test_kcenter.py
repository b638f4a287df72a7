from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alcli.vectors import kcenter


def brute_force(vectors: np.ndarray, budget: int, centers: np.ndarray, first: int | None = None) -> list[int]:
    """The textbook: one pick after the other in float64, ties to the lowest row."""
    exact = vectors.astype(np.float64)
    squared, picks = np.full(len(exact), np.inf), []
    for center in centers.astype(np.float64):
        squared = np.minimum(squared, np.square(exact - center).sum(axis=1))
    while len(picks) < min(budget, len(exact)):
        left = squared.copy()
        left[picks] = -np.inf
        row = int(left.argmax())
        if not picks and not len(centers):
            middle = np.square(exact - exact.mean(axis=0)).sum(axis=1)
            row = int(middle.argmin()) if first is None else first
        picks.append(row)
        squared = np.minimum(squared, np.square(exact - exact[row]).sum(axis=1))
    return picks


def gaussian(rng, shape):
    return rng.standard_normal(shape).astype(np.float16)


def grid(rng, shape):
    """Many exact ties, many duplicates."""
    return rng.integers(0, 3, shape).astype(np.float16)


def far_from_zero(rng, shape):
    """Plain float32 products would lose all but the first digits."""
    return (rng.standard_normal(shape) + 1000).astype(np.float32)


def huge(rng, shape):
    return rng.integers(0, 2, shape) * 1e25


def tiny(rng, shape):
    return rng.integers(-2, 2, shape) * 1e-25


def alike(rng, shape):
    return np.full(shape, 3.0)


def outlier(rng, shape):
    vectors = rng.standard_normal(shape)
    vectors[0] *= 1e6
    return vectors


def twins(rng, shape):
    """Pairs that differ less than float32 can tell."""
    vectors = np.repeat(rng.standard_normal((-(-shape[0] // 2), shape[1])), 2, axis=0)[: shape[0]]
    return vectors * (1 + 1e-9 * rng.integers(0, 2, (shape[0], 1)))


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from([gaussian, grid, far_from_zero, huge, tiny, alike, outlier, twins]),
    st.integers(1, 300),
    st.integers(1, 12),
    st.integers(0, 8),
    st.integers(0, 80),
    st.integers(0, 2**32 - 1),
    st.sampled_from([2, 16, 256]),
    st.sampled_from([1, 5, 64]),
)
def test_picks_are_those_of_brute_force(make, count, width, labeled, budget, seed, block, starting):
    rng = np.random.default_rng(seed)
    vectors = make(rng, (count, width))
    centers = make(rng, (max(labeled, 1), width))[:labeled].astype(vectors.dtype)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kcenter, "WIDTH", block)
        patch.setattr(kcenter, "STARTING", starting)
        picks = kcenter.greedy(vectors, budget, centers).picks.tolist()
    assert picks == brute_force(vectors, budget, centers)


@pytest.mark.parametrize("make", [gaussian, grid, far_from_zero])
def test_a_map_that_is_converted_at_each_reading_gives_the_same(make, monkeypatch, tmp_path):
    vectors = make(np.random.default_rng(0), (5000, 6))
    expected = kcenter.greedy(vectors, 60, vectors[:3]).picks
    monkeypatch.setattr("alcli.vectors.rows.IN_MEMORY", 0)
    np.save(tmp_path / "v.npy", vectors)
    mapped = np.load(tmp_path / "v.npy", mmap_mode="r")
    assert (kcenter.greedy(mapped, 60, vectors[:3]).picks == expected).all()
    assert expected.tolist() == brute_force(vectors, 60, vectors[:3])


def test_centers_may_be_of_another_type():
    rng = np.random.default_rng(0)
    vectors = far_from_zero(rng, (300, 4))
    centers = rng.standard_normal((5, 4)) + 1000
    assert kcenter.greedy(vectors, 40, centers).picks.tolist() == brute_force(vectors, 40, centers)


def test_centers_may_be_larger_than_all_vectors():
    vectors = np.zeros((3, 2))
    vectors[1] = 1e-3
    assert kcenter.greedy(vectors, 3, np.full((1, 2), 1e30)).picks.tolist() == [0, 1, 2]


def test_the_first_pick_can_be_given():
    vectors = gaussian(np.random.default_rng(0), (50, 3))
    none = vectors[:0]
    assert kcenter.greedy(vectors, 9, first=17).picks.tolist() == brute_force(vectors, 9, none, first=17)


def test_distances_are_those_to_the_nearest_center_or_pick():
    rng = np.random.default_rng(0)
    vectors, centers = rng.standard_normal((200, 5)) * 1e20, rng.standard_normal((4, 5)) * 1e20
    found = kcenter.greedy(vectors, 6, centers)
    every = np.concatenate([centers, vectors[found.picks]])
    expected = np.sqrt(np.square(vectors[:, None] - every).sum(axis=2).min(axis=1))
    assert found.distances() == pytest.approx(expected, rel=1e-3, abs=1e16)
    assert (found.distances()[found.picks] == 0).all()


def test_nothing_to_pick_or_to_pick_from():
    assert len(kcenter.greedy(np.zeros((0, 3)), 5).picks) == 0
    assert len(kcenter.greedy(np.ones((4, 3)), 0).picks) == 0
    assert kcenter.greedy(np.ones((4, 3)), 0, np.zeros((1, 3))).distances() == pytest.approx(3**0.5)
    assert sorted(kcenter.greedy(np.ones((4, 3)), 9).picks.tolist()) == [0, 1, 2, 3]


def test_the_approximate_way_covers_nearly_as_well(monkeypatch):
    rng = np.random.default_rng(0)
    vectors = (rng.standard_normal((4000, 80)) + 4 * rng.standard_normal((40, 80))[rng.integers(0, 40, 4000)]).astype(
        np.float16
    )
    centers = vectors[:5]
    exact = kcenter.greedy_or_approximate(vectors, 60, centers, np.random.default_rng(1))
    monkeypatch.setattr(kcenter, "EXACT_OPERATIONS", 0)
    rough = kcenter.greedy_or_approximate(vectors, 60, centers, np.random.default_rng(1))
    again = kcenter.greedy_or_approximate(vectors, 60, centers, np.random.default_rng(1))
    assert (rough.picks == again.picks).all()
    assert len(set(rough.picks.tolist())) == 60
    every = np.concatenate([centers, vectors[rough.picks]]).astype(np.float64)
    radius = np.sqrt(np.square(vectors[:, None].astype(np.float32) - every.astype(np.float32)).sum(axis=2).min(axis=1))
    assert radius.max() < 1.3 * exact.distances().max()
