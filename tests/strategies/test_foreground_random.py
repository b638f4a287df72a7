from __future__ import annotations

import numpy as np

from alcli.signals import Signals
from alcli.strategies.foreground_random import ForegroundRandom


def picks(scores: np.ndarray, budget: int) -> set[int]:
    assert np.isfinite(scores).all() and len(set(scores[np.argsort(-scores)[:budget]])) == budget
    return set(np.argsort(-scores, kind="stable")[:budget].tolist())


def test_at_least_half_of_the_budget_shows_an_object():
    objects = np.zeros((1000, 2), np.float32)
    objects[:20, 1] = 0.9
    objects[20:40, 0] = 0.4  # in doubt
    signals = Signals([str(number) for number in range(1000)], {"class_scores": objects})
    counts = []
    for seed in range(20):
        asked = picks(ForegroundRandom().score(signals, 20, np.random.default_rng(seed)), 20)
        counts.append(sum(number < 20 for number in asked))
    assert min(counts) >= 10
    assert max(counts) <= 14  # the other half is drawn among 990


def test_with_fewer_such_images_than_half_the_budget_all_of_them_are_asked_for():
    objects = np.zeros((50, 1), np.float32)
    objects[:3] = 1
    signals = Signals([str(number) for number in range(50)], {"class_scores": objects})
    asked = picks(ForegroundRandom().score(signals, 20, np.random.default_rng(0)), 20)
    assert {0, 1, 2} <= asked
