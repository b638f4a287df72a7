"""Rows of vectors, read a block at a time, so that a memory map larger than the memory will do."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

BLOCK = 2048
"""Rows read at once: with a few hundred columns they and their distances to 500 others stay in the cache."""
IN_MEMORY = 2**28
"""Bytes up to which a converted copy is kept instead of being converted again at each reading."""


def slices(count: int, size: int = BLOCK) -> Iterator[slice]:
    """Consecutive parts of ``range(count)``."""
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))


def products(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """(n, m) inner products of the rows of two finite matrices (n, d) and (m, d)."""
    # A BLAS may compute with rubbish beside the operands, and numpy then tells of an invalid value that is none.
    with np.errstate(invalid="ignore"):
        return np.asarray(one @ other.T)


class Rows:
    """Vectors, shifted and scaled, in one floating type.

    Args:
        vectors: (n, d), any floating type, in memory or mapped.
        dtype: what reading gives.
        shift: (d,), taken off before the rounding to ``dtype``.
        scale: a power of two, which costs no digit.
    """

    def __init__(self, vectors: np.ndarray, dtype: type, shift: np.ndarray | None = None, scale: float = 1.0) -> None:
        self.vectors, self.dtype = vectors, np.dtype(dtype)
        self._shift = None if shift is None else shift.astype(np.promote_types(vectors.dtype, np.float32))
        self._scale = self.dtype.type(scale)
        self._copy: np.ndarray | None = None
        if vectors.size * self.dtype.itemsize <= IN_MEMORY:
            self._copy = np.empty(vectors.shape, self.dtype)
            for part in slices(len(vectors)):
                self._copy[part] = self._converted(vectors[part])

    def __len__(self) -> int:
        return len(self.vectors)

    def __getitem__(self, part: slice | np.ndarray) -> np.ndarray:
        return self._converted(self.vectors[part]) if self._copy is None else self._copy[part]

    def _converted(self, block: np.ndarray) -> np.ndarray:
        if self._shift is not None:
            block = block - self._shift
        block = block.astype(self.dtype, copy=False)
        return block if self._scale == 1 else block * self._scale


def mean(vectors: np.ndarray, rows: int | None = None) -> np.ndarray:
    """(d,) float64 mean, of every n-th vector if some number of rows is enough; zeros where there are none."""
    step = 1 if rows is None else max(len(vectors) // rows, 1)
    total = np.zeros(vectors.shape[1])
    for part in slices(len(vectors)):
        start = part.start + -part.start % step
        total += vectors[start : part.stop : step].astype(np.float64).sum(axis=0)
    return total / max(-(-len(vectors) // step), 1)


def scale(vectors: np.ndarray) -> float:
    """The power of two that brings the largest value to 1, so that no float32 product of any two can overflow."""
    if vectors.dtype == np.float16:
        return 1.0
    extremes = ((vectors[part].max(initial=0), vectors[part].min(initial=0)) for part in slices(len(vectors)))
    largest = max((max(float(high), -float(low)) for high, low in extremes), default=0.0)
    return float(2.0 ** -np.ceil(np.log2(largest))) if largest else 1.0


def projected(vectors: np.ndarray, width: int, rng: np.random.Generator) -> np.ndarray:
    """(n, width) float32: a Gaussian random projection, which keeps distances up to a few percent.

    For pools too large for exact distances (Johnson & Lindenstrauss 1984; error about 1/√width).
    """
    matrix = (rng.standard_normal((vectors.shape[1], width)) / width**0.5).astype(np.float32)
    result = np.empty((len(vectors), width), np.float32)
    for part in slices(len(vectors)):
        result[part] = vectors[part].astype(np.float32) @ matrix
    return result
