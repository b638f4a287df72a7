"""Rows of vectors, read in blocks, so that a memory map may be larger than memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")
BLOCK = 2048
"""Rows per read: with a few hundred columns they and their distances to 500 others fit in the cache."""
IN_MEMORY = 2**28
"""Bytes up to which a converted copy is kept; larger vectors are converted at each read."""


def evenly_spaced(items: Sequence[T], most: int) -> Sequence[T]:
    """Every n-th item from the first on, with the smallest n that leaves at most ``most``."""
    return items[:: max(1, -(-len(items) // most))]


def slices(count: int, size: int = BLOCK) -> Iterator[slice]:
    """Consecutive parts of ``range(count)``."""
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))


def products(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """(n, m) inner products of the rows of two finite matrices (n, d) and (m, d)."""
    # A BLAS may also compute on padding next to the operands; numpy then warns of invalid values that do not exist.
    with np.errstate(invalid="ignore"):
        return np.asarray(one @ other.T)


def are_equal(vectors: np.ndarray, most: int = 1000) -> bool:
    """Whether ``most`` evenly spaced rows of (n, d) are all the same; stops at the first block with another one."""
    rows = np.array(evenly_spaced(range(len(vectors)), most), dtype=np.int64)
    return all(bool((vectors[rows[part]] == vectors[0]).all()) for part in slices(len(rows), 64))


class Rows:
    """Vectors, shifted and scaled, in one floating type.

    Args:
        vectors: (n, d), any floating type, in memory or mapped.
        dtype: of the rows that are read.
        shift: (d,), subtracted before rounding to ``dtype``.
        scale: a power of two, so that scaling loses no digits.
    """

    def __init__(self, vectors: np.ndarray, dtype: type, shift: np.ndarray | None = None, scale: float = 1.0) -> None:
        self.vectors, self.dtype = vectors, np.dtype(dtype)
        self._shift = None if shift is None else shift.astype(np.promote_types(vectors.dtype, np.float32))
        self._scale = self.dtype.type(scale)
        self._copy: np.ndarray | None = None
        if vectors.size * self.dtype.itemsize <= IN_MEMORY:
            self._copy = np.empty(vectors.shape, self.dtype)
            for part in slices(len(vectors)):
                self._copy[part] = self._convert(vectors[part])

    def __len__(self) -> int:
        return len(self.vectors)

    def __getitem__(self, part: slice | np.ndarray) -> np.ndarray:
        return self._convert(self.vectors[part]) if self._copy is None else self._copy[part]

    def _convert(self, block: np.ndarray) -> np.ndarray:
        if self._shift is not None:
            block = block - self._shift
        block = block.astype(self.dtype, copy=False)
        return block if self._scale == 1 else block * self._scale


def mean(vectors: np.ndarray, rows: int | None = None) -> np.ndarray:
    """Mean (d,) float64; with ``rows``, of every n-th vector, at least ``rows`` of them; zeros without vectors."""
    step = 1 if rows is None else max(len(vectors) // rows, 1)
    total = np.zeros(vectors.shape[1])
    for part in slices(len(vectors)):
        start = part.start + -part.start % step
        total += vectors[start : part.stop : step].astype(np.float64).sum(axis=0)
    return total / max(-(-len(vectors) // step), 1)


def scale(vectors: np.ndarray) -> float:
    """The power of two that scales the largest value to at most 1, so that no float32 product overflows."""
    if vectors.dtype == np.float16:
        return 1.0
    extremes = ((vectors[part].max(initial=0), vectors[part].min(initial=0)) for part in slices(len(vectors)))
    largest = max((max(float(high), -float(low)) for high, low in extremes), default=0.0)
    return float(2.0 ** -np.ceil(np.log2(largest))) if largest else 1.0


def project(vectors: np.ndarray, width: int, rng: np.random.Generator) -> np.ndarray:
    """Gaussian random projection to (n, width) float32.

    Distances change by about 1/√width (Johnson & Lindenstrauss 1984).
    """
    matrix = (rng.standard_normal((vectors.shape[1], width)) / width**0.5).astype(np.float32)
    result = np.empty((len(vectors), width), np.float32)
    for part in slices(len(vectors)):
        result[part] = vectors[part].astype(np.float32) @ matrix
    return result
