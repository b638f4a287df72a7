"""Keeps near-duplicates, and too many images of one group, out of the images asked for."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np

from alcli.items import RANDOM, Item, QueryRow
from alcli.selection.query import Query, number_rows
from alcli.signals import Signals


def move_near_duplicates(
    query: Query, budget: int, signals: Signals, min_distance: float = 0.0, per_group: int = 0
) -> Query:
    """Move rows below the budget that are too near to a row asked for, or whose group already has its share.

    The first of several near-duplicates keeps its rank. The others follow right after the budget in their order, and
    their reason names the row that they resemble. Rows that chance chose stay, or they would be no control.

    Args:
        signals: with the ``embedding`` of every row, where distances count.
        min_distance: rows nearer than this cosine distance are near-duplicates, in [0, 2]; 0 turns this off.
        per_group: the most rows of one group that are asked for; 0 means any number.
    """
    kept: list[QueryRow] = []
    followers: list[QueryRow] = []
    near = _NearestKept(signals, min_distance, min(budget, len(query.rows)))
    groups: Counter[tuple[str, str]] = Counter()
    for row in query.rows:
        if len(kept) == budget:
            break
        group = group_of(row.item)
        why = near.resemblance(row)
        if not why and 0 < per_group <= groups[group]:
            why = f"group {group[1]} has its {per_group}"
        if why and row.source != RANDOM:
            followers.append(replace(row, reason=why))
            continue
        kept.append(row)
        near.add(row)
        groups[group] += 1
    if not followers:
        return query
    ordered = [*kept, *followers, *query.rows[len(kept) + len(followers) :]]
    return replace(query, rows=number_rows(ordered, len(kept)), put_off=len(followers))


def group_of(item: Item) -> tuple[str, str]:
    """Folder, and name without its last number: frames of one video have both in common."""
    stem = item.name.rpartition(".")[0] or item.name
    return item.folder, stem.rstrip("0123456789") or stem


class _NearestKept:
    """Finds the row asked for that another row is a near-duplicate of."""

    def __init__(self, signals: Signals, min_distance: float, most: int) -> None:
        self._on = min_distance > 0 and "embedding" in signals.arrays and len(signals) > 0
        self._min_distance, self._kept = min_distance, list[QueryRow]()
        if self._on:
            self._vectors = signals["embedding"]  # (items, d)
            self._index = {item_id: index for index, item_id in enumerate(signals.item_ids)}
            self._units = np.empty((most, self._vectors.shape[1]))

    def resemblance(self, row: QueryRow) -> str:
        """ "near-duplicate of NAME", or nothing."""
        if not self._on or not self._kept:
            return ""
        distances = 1 - self._units[: len(self._kept)] @ self._unit(row)  # (rows kept,)
        nearest = int(distances.argmin())
        if distances[nearest] >= self._min_distance:
            return ""
        return f"near-duplicate of {self._kept[nearest].item.name}"

    def add(self, row: QueryRow) -> None:
        """Compare later rows with this one, too."""
        if self._on:
            self._units[len(self._kept)] = self._unit(row)
            self._kept.append(row)

    def _unit(self, row: QueryRow) -> np.ndarray:
        vector = self._vectors[self._index[row.item.id]].astype(np.float64)
        return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-12))
