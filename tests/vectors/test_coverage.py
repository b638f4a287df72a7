from __future__ import annotations

import numpy as np
import pytest

from alcli.vectors import coverage
from alcli.vectors.coverage import cosine, gaussian, pick_covering, unit_rows

KERNELS = {"cosine": cosine, "gaussian": gaussian(0.7)}


def brute_force(vectors, budget, labeled, weights, kernel) -> list[int]:
    """The definition: every gain anew for every pick."""
    table = kernel(vectors.astype(np.float64) @ vectors.T.astype(np.float64))
    covered = np.zeros(len(vectors))
    if len(labeled):
        covered = np.maximum(covered, kernel(vectors.astype(np.float64) @ labeled.T.astype(np.float64)).max(axis=1))
    picks: list[int] = []
    for _ in range(budget):
        gains = weights @ np.maximum(table - covered[:, None], 0)
        gains[picks] = -1
        picks.append(int(gains.argmax()))
        covered = np.maximum(covered, table[:, picks[-1]])
    return picks


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("labels", [0, 30])
def test_picks_equal_brute_force(kernel, labels):
    rng = np.random.default_rng(labels)
    vectors, weights = unit_rows(rng.normal(size=(700, 16))), rng.random(700)
    labeled, pool = vectors[:labels], vectors[labels:]
    picks = pick_covering(pool, 60, labeled, weights[labels:], KERNELS[kernel], rng)
    assert picks.tolist() == brute_force(pool, 60, labeled, weights[labels:], KERNELS[kernel])


def test_what_is_covered_is_not_picked_again():
    rng = np.random.default_rng(0)
    centers = unit_rows(rng.normal(size=(8, 32)))
    groups = np.repeat(np.arange(8), 25)
    vectors = unit_rows(centers[groups] + 0.02 * rng.normal(size=(200, 32)))
    picks = pick_covering(vectors, 5, centers[:3], np.ones(200), cosine, rng)
    assert sorted(groups[picks].tolist()) == [3, 4, 5, 6, 7]


def test_equal_rows_are_picked_once_and_the_first_of_them():
    vectors = unit_rows(np.repeat(np.eye(4), 3, axis=0))
    picks = pick_covering(vectors, 10, np.zeros((0, 4), np.float32), np.ones(12), cosine, np.random.default_rng(0))
    assert picks.tolist() == [0, 3, 6, 9]


def test_rows_of_zeros_and_no_rows():
    rng = np.random.default_rng(0)
    nothing = np.zeros((0, 3), np.float32)
    assert len(pick_covering(nothing, 3, nothing, np.zeros(0), cosine, rng)) == 0
    assert len(pick_covering(unit_rows(np.zeros((4, 3))), 3, nothing, np.ones(4), cosine, rng)) == 0


def test_a_large_pool_is_covered_through_drawn_targets(monkeypatch):
    monkeypatch.setattr(coverage, "MOST_TARGETS", 100)
    rng = np.random.default_rng(0)
    vectors = unit_rows(unit_rows(rng.normal(size=(10, 32)))[np.arange(1000) % 10] + 0.01 * rng.normal(size=(1000, 32)))
    picks = pick_covering(vectors, 10, vectors[:0], np.ones(1000), cosine, rng)
    assert sorted((picks % 10).tolist()) == list(range(10))
