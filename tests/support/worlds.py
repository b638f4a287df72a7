"""Small pools whose right order can be seen."""

from __future__ import annotations

import numpy as np

from alcli.signals import Signals
from alcli.vectors.ranking import top_k


def signals(known: np.ndarray | None = None, **arrays: np.ndarray) -> Signals:
    """A pool from arrays; ``known``: embeddings of annotated items."""
    count = len(next(iter(arrays.values())))
    labeled = None if known is None else Signals([f"known-{i}" for i in range(len(known))], {"embedding": known})
    return Signals([f"{row:04}" for row in range(count)], arrays, labeled)


def groups(sizes: list[int], distance: float = 100.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """(embeddings, group of each): normal clouds around the ends of the axes."""
    rng = np.random.default_rng(seed)
    which = np.repeat(np.arange(len(sizes)), sizes)
    return (distance * np.eye(len(sizes))[which] + rng.standard_normal((len(which), len(sizes)))), which


def picks(strategy, pool: Signals, budget: int, seed: int = 0) -> list[int]:
    """The rows that are asked for, best first."""
    return top_k(strategy.score(pool, budget, np.random.default_rng(seed)), budget).tolist()
