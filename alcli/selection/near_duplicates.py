"""Near-duplicates and groups: at most one of each kind, or so many, among the images asked for."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np

from alcli.items import RANDOM, Item, QueryRow
from alcli.selection.query import Query, with_rank
from alcli.signals import Signals


def spread(query: Query, budget: int, signals: Signals, min_distance: float = 0.0, per_group: int = 0) -> Query:
    """The same rows with followers put off: a row too near to one that is asked for, or of a group that has its share.

    The first keeps its rank; followers come right after the budget, in their order, and say whom they follow. Rows that
    chance chose stay, else they would be no control.

    Args:
        signals: with the ``embedding`` of every row, where distances count.
        min_distance: two rows nearer than this cosine distance are near-duplicates, in [0, 2]; 0: none are.
        per_group: so many rows of a group are asked for at most; 0: as many as there are.
    """
    kept: list[QueryRow] = []
    followers: list[tuple[QueryRow, str]] = []
    near = _Near(signals, min_distance, min(budget, len(query.rows)))
    groups: Counter[tuple[str, str]] = Counter()
    for position, row in enumerate(query.rows):
        if len(kept) == budget:
            rest = query.rows[position:]
            break
        group = group_of(row.item)
        why = near.leader(row) or (f"group {group[1]} has its {per_group}" if 0 < per_group <= groups[group] else "")
        if why and row.arm != RANDOM:
            followers.append((row, why))
            continue
        kept.append(row)
        near.add(row)
        groups[group] += 1
    else:
        rest = []
    if not followers:
        return query
    ordered = [*kept, *(_with_reason(row, why) for row, why in followers), *rest]
    rows = [with_rank(row, rank, len(ordered), rank <= len(kept)) for rank, row in enumerate(ordered, 1)]
    return replace(query, rows=rows, put_off=len(followers))


def group_of(item: Item) -> tuple[str, str]:
    """Folder, and name without its last number: frames of one video have this in common."""
    stem = item.name.rpartition(".")[0] or item.name
    return item.folder, stem.rstrip("0123456789") or stem


class _Near:
    """Finds the row asked for that another is a near-duplicate of."""

    def __init__(self, signals: Signals, min_distance: float, most: int) -> None:
        self._on = min_distance > 0 and "embedding" in signals.arrays and len(signals) > 0
        self._min_distance, self._names = min_distance, [""] * most
        self._count = 0
        if self._on:
            self._vectors = signals["embedding"]
            self._place = {item_id: row for row, item_id in enumerate(signals.item_ids)}
            self._known = np.empty((most, self._vectors.shape[1]))

    def leader(self, row: QueryRow) -> str:
        """ "near-duplicate of NAME", or nothing."""
        if not self._on or not self._count:
            return ""
        distances = 1 - self._known[: self._count] @ self._unit(row)
        place = int(distances.argmin())
        return f"near-duplicate of {self._names[place]}" if distances[place] < self._min_distance else ""

    def add(self, row: QueryRow) -> None:
        """Later rows are compared with this one."""
        if self._on:
            self._known[self._count], self._names[self._count] = self._unit(row), row.item.name
            self._count += 1

    def _unit(self, row: QueryRow) -> np.ndarray:
        vector = self._vectors[self._place[row.item.id]].astype(np.float64)
        return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-12))


def _with_reason(row: QueryRow, reason: str) -> QueryRow:
    return replace(row, details={**row.details, "reason": reason})
