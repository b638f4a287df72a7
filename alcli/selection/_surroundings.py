"""Reasons from the surroundings of an item: how many images it stands for, and how far annotated ones are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from alcli.signals import Signals
from alcli.system.text import quantity
from alcli.vectors.neighbors import center_and_scale, nearest
from alcli.vectors.rows import Rows, evenly_spaced

COMPARED = 5000
"""Images of the pool that are compared, evenly spaced; of a larger pool numbers are estimates."""
FAR = 0.75
"""Share of the pool that lies nearer to an annotated image than one that is unlike all of them."""


def stands_for(signals: Signals, positions: Sequence[int]) -> dict[int, str]:
    """For how many images of the pool each item is the most similar one of all that are asked for or annotated.

    Items that stand for none are left out.

    Args:
        positions: of the items asked for, in the pool.
    """
    pool, asked = signals["embedding"], set(positions)
    others = [row for row in evenly_spaced(range(len(pool)), COMPARED) if row not in asked]
    if not others or not positions:
        return {}
    labeled = _labeled(signals)
    parts = [pool[others], pool[list(positions)], *([labeled] if labeled is not None else [])]
    both = center_and_scale(np.concatenate(parts).astype(np.float32))
    indices, _ = nearest(Rows(both[: len(others)], np.float64), both[len(others) :])
    counts = np.bincount(indices, minlength=len(positions))[: len(positions)]
    scale = (len(pool) - len(asked)) / len(others)
    about = "about " if len(pool) - len(asked) > len(others) else ""
    return {
        position: f"stands for {about}{quantity(round(int(count) * scale), 'similar image')}"
        for position, count in zip(positions, counts.tolist(), strict=True)
        if count
    }


def far_from_labeled(signals: Signals, positions: Sequence[int], names: Sequence[str]) -> dict[int, str]:
    """The items that lie further from all annotated images than three of four images of the pool do.

    Args:
        names: of the annotated items, in the order of ``signals.labeled``.
    """
    labeled = _labeled(signals)
    if labeled is None or not positions:
        return {}
    pool = signals["embedding"]
    compared = [*positions, *evenly_spaced(range(len(pool)), COMPARED)]
    both = center_and_scale(np.concatenate([pool[compared], labeled]).astype(np.float32))
    indices, distances = nearest(Rows(both[: len(compared)], np.float64), both[len(compared) :])
    limit = float(np.quantile(distances[len(positions) :], FAR))
    return {
        position: f"unlike all annotated images: the nearest is {names[index]}"
        for position, index, distance in zip(positions, indices.tolist(), distances.tolist(), strict=False)
        if distance > limit
    }


def _labeled(signals: Signals) -> np.ndarray | None:
    """(m, d) features of the annotated items; None without any."""
    labeled = signals.labeled
    return labeled["embedding"] if labeled is not None and len(labeled) and "embedding" in labeled.arrays else None
