from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats

from alcli.vectors import kmeans
from alcli.vectors.kmeans import Euclidean, Products, cluster, plus_plus
from alcli.vectors.rows import Rows

SEEDS = 4000


def exact_law(squared: np.ndarray, weights: np.ndarray, first: int, length: int) -> dict[tuple[int, ...], float]:
    """The probability of every sequence of draws that begins with ``first``, from all pairs of squared distances."""
    law = {(first,): 1.0}
    for _ in range(length - 1):
        longer = {}
        for drawn, probability in law.items():
            mass = weights * squared[list(drawn)].min(axis=0)
            for row in np.flatnonzero(mass):
                longer[(*drawn, int(row))] = probability * mass[row] / mass.sum()
        law = longer
    return law


def assert_law(found: list[tuple[int, ...]], law: dict[tuple[int, ...], float]) -> None:
    """Chi-square, with sequences that are expected less than five times in one cell."""
    counts = dict.fromkeys(law, 0)
    for sequence in found:
        counts[sequence] += 1
    pairs = [(counts[sequence], len(found) * probability) for sequence, probability in law.items()]
    common = [pair for pair in pairs if pair[1] >= 5]
    rare = [pair for pair in pairs if pair[1] < 5]
    cells = common + ([tuple(np.sum(rare, axis=0))] if sum(pair[1] for pair in rare) >= 5 else [])
    observed, expected = np.array(cells).T
    expected = expected * observed.sum() / expected.sum()
    assert stats.chisquare(observed, expected).pvalue > 1e-3


@pytest.fixture
def gradients():
    rng = np.random.default_rng(0)
    errors, vectors = rng.standard_normal((7, 3)), rng.standard_normal((7, 4))
    vectors[6], errors[6] = vectors[2], errors[2]
    return errors, vectors


def product(errors, vectors):
    return Products(Rows(errors, np.float64), Rows(vectors, np.float64))


def test_factored_distances_are_those_of_the_gradients(gradients):
    errors, vectors = gradients
    full = np.einsum("nc,nd->ncd", errors, vectors).reshape(7, -1)
    expected = np.square(full[:, None] - full).sum(axis=2)
    rows = np.arange(7)
    points = product(errors, vectors)
    assert points.between(rows, rows) == pytest.approx(expected, abs=1e-9)
    assert points.between(rows, rows)[2, 6] == 0
    assert points.norms == pytest.approx(np.square(full).sum(axis=1))


@pytest.mark.parametrize("block", [1, 4, 64])
def test_draws_by_blocks_follow_the_sequential_law(gradients, block, monkeypatch):
    monkeypatch.setattr(kmeans, "DRAWN", block)
    points = product(*gradients)
    squared = points.between(np.arange(7), np.arange(7))
    first = int(points.norms.argmax())
    found = [tuple(plus_plus(points, 4, np.random.default_rng(seed), first=first)[0].tolist()) for seed in range(SEEDS)]
    assert_law(found, exact_law(squared, np.ones(7), first, 4))


def test_weights_change_the_law_and_the_first_draw():
    vectors = np.random.default_rng(1).standard_normal((6, 2))
    weights = np.array([0.0, 1, 2, 3, 4, 0.5])
    points = Euclidean(Rows(vectors, np.float64))
    squared = points.between(np.arange(6), np.arange(6))
    found = [tuple(plus_plus(points, 3, np.random.default_rng(seed), weights)[0].tolist()) for seed in range(SEEDS)]
    laws = (exact_law(squared, weights, row, 3) for row in range(6))
    shares = weights / weights.sum()
    law = {key: p * shares[key[0]] for key, p in itertools.chain(*(law.items() for law in laws)) if shares[key[0]]}
    assert_law(found, law)


def test_points_that_coincide_are_drawn_once():
    points = Euclidean(Rows(np.array([[0.0], [0], [1], [1], [1]]), np.float64))
    picks, squared = plus_plus(points, 5, np.random.default_rng(0))
    assert len(picks) == 2
    assert (squared == 0).all()
    assert len(plus_plus(points, 0, np.random.default_rng(0))[0]) == 0
    assert len(plus_plus(points, 3, np.random.default_rng(0), np.zeros(5))[0]) == 0


def test_groups_far_apart_are_found():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 6, 600)
    vectors = (100 * np.eye(6)[truth] + rng.standard_normal((600, 6))).astype(np.float16)
    found = cluster(vectors, 6, rng)
    assert len(set(zip(truth.tolist(), found.labels.tolist(), strict=True))) == 6


def test_mini_batches_find_them_too(monkeypatch):
    monkeypatch.setattr(kmeans, "BATCHED", 0)
    test_groups_far_apart_are_found()


def test_each_row_belongs_to_the_nearest_weighted_mean():
    rng = np.random.default_rng(3)
    vectors, weights = rng.standard_normal((200, 3)), rng.random(200)
    found = cluster(vectors, 5, rng, weights, iterations=200)
    means = np.array(
        [np.average(vectors[found.labels == i], axis=0, weights=weights[found.labels == i]) for i in range(5)]
    )
    squared = np.square(vectors[:, None] - means).sum(axis=2)
    assert (squared.argmin(axis=1) == found.labels).all()


def test_more_clusters_than_rows_and_no_weight():
    vectors = np.array([[0.0], [0.0], [5.0]])
    assert len(set(cluster(vectors, 9, np.random.default_rng(0)).labels.tolist())) == 2
    assert len(cluster(vectors, 2, np.random.default_rng(0), np.zeros(3)).labels) == 3
