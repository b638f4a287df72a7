"""k-center greedy: repeatedly pick the row farthest from all centers, exactly, by matrix products.

Sequential code reads all vectors once per center and pick. Two shortcuts avoid most of this without changing a pick;
both rely on distances to the nearest center only shrinking as centers are added. First, the farthest row of a block of
256 is the next pick as long as it is farther than every row outside the block was, so the 256 × 256 distances within
the block suffice. Second, a row whose distance to the nearest of the first 64 centers is below the picks' is never
compared with the other centers. Products in float32 have a known error bound; where it leaves several candidates, their
distances are recomputed in float64 from differences. The picks are those of the sequential algorithm in float64, with
ties to the lowest row, on every machine.

Source: Gonzalez (1985), 2-approximation; Sener & Savarese, "Active Learning for CNNs: A Core-Set Approach", ICLR 2018.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from alcli.vectors.rows import Rows, mean, products, project, scale, slices

WIDTH = 256
ENOUGH = 64
"""Rows of a block that should be farther than all rows outside it before picking begins."""
STARTING = 64
"""Number of centers that all rows are compared with; later centers are compared only with the farthest rows."""
EXACT_OPERATIONS = 2e13
"""Floating-point operations up to which the exact algorithm is used: minutes on one core."""
CANDIDATES_PER_PICK, NARROW = 50, 64
PAIRS = 8192


@dataclass(frozen=True)
class Cover:
    """Picks, and each row's distance to them.

    Attributes:
        picks: row indices in the order of picking.
        distances: returns (n,) float32 distances to the nearest center or pick, with about four correct digits; 0 for
            picks. A function because it costs more than the picking, which skips most comparisons.
    """

    picks: np.ndarray
    distances: Callable[[], np.ndarray]


def greedy(vectors: np.ndarray, budget: int, centers: np.ndarray | None = None, first: int | None = None) -> Cover:
    """Pick rows one by one, each the farthest from all centers and earlier picks.

    Args:
        vectors: (n, d) floating, finite; a memory map is read in blocks.
        budget: number of picks; at most all rows.
        centers: (c, d) vectors that are already covered.
        first: the first pick if there are no centers; default: the row nearest to the mean.
    """
    if centers is None:
        centers = np.zeros((0, vectors.shape[1]), vectors.dtype)
    budget = max(min(budget, len(vectors)), 0)
    if not len(vectors) or (not budget and not len(centers)):
        return Cover(np.zeros(0, dtype=np.int64), lambda: np.zeros(len(vectors), np.float32))
    search = _Search(vectors, centers, budget)
    if not len(centers):
        search.add_pick(search.nearest_to_the_mean() if first is None else first)
    while len(search.picks) < budget:
        if not search.pick_from_block() and not search.pick_one():
            search.pick_rest()
    return Cover(np.array(search.picks, dtype=np.int64), search.distances)


def approximate(vectors: np.ndarray, budget: int, centers: np.ndarray, rng: np.random.Generator) -> Cover:
    """``greedy`` on a random sample of rows in a random projection, for pools of tens of millions of rows.

    The sample has 50 rows per pick, so that about 98 % of the pool lie within the radius that covers the sample; the
    projection to 64 dimensions changes distances by about an eighth. Rows outside the sample have distance 0.
    """
    count = min(len(vectors), CANDIDATES_PER_PICK * budget)
    sample = np.sort(rng.choice(len(vectors), size=count, replace=False))
    both = np.concatenate([vectors[sample], centers.astype(vectors.dtype)])
    narrow = project(both, NARROW, rng) if vectors.shape[1] > NARROW else both
    cover = greedy(narrow[:count], budget, narrow[count:])

    def distances() -> np.ndarray:
        result = np.zeros(len(vectors), np.float32)
        result[sample] = cover.distances()
        return result

    return Cover(sample[cover.picks], distances)


def greedy_or_approximate(vectors: np.ndarray, budget: int, centers: np.ndarray, rng: np.random.Generator) -> Cover:
    """``greedy`` if it takes minutes at most, else ``approximate``."""
    if 2.0 * vectors.size * (len(centers) + budget) > EXACT_OPERATIONS:
        return approximate(vectors, budget, centers, rng)
    return greedy(vectors, budget, centers)


class _Search:
    """State of one run.

    Invariant, for every row: ``upper_bound[row]`` is the float32 squared distance to the nearest of the first
    ``bound_centers[row]`` centers, and ``exact[row]`` the float64 one to the nearest of the first
    ``exact_centers[row]``. Distances only shrink as centers are added, so both bound the distance to all centers from
    above, ``upper_bound`` up to ``2 * error * upper_bound + slack`` of rounding. A row becomes a pick only when its
    distance includes all centers and no other row's upper bound, rounding included, exceeds it; among rows within
    rounding of each other ``exact`` decides.
    """

    def __init__(self, vectors: np.ndarray, centers: np.ndarray, budget: int) -> None:
        # Products lose the fewest digits near the mean; an approximate one is enough. It is float32, so that vectors
        # and centers of different types are shifted by the same value.
        middle = mean(vectors, 1000).clip(-3e38, 3e38).astype(np.float32)
        factor = min(scale(vectors), scale(centers)) if len(centers) else scale(vectors)
        self.rows = Rows(vectors, np.float32, middle, factor)
        self.unit = 1.0 / factor
        self.norms = np.concatenate([_norms(self.rows[part]) for part in slices(len(vectors))])
        # |computed − true| ≤ (d/2 + 8) · 2⁻²⁴ · (‖a‖ + ‖b‖)² for any order of summation, plus a tenth for safety.
        self.error = np.float32(1.1 * (vectors.shape[1] / 2 + 8) * 2.0**-24)
        self.slack = self.error * 8 * self.norms + np.float32(1e-30)
        self.upper_bound = np.full(len(vectors), np.inf, np.float32)
        self.bound_centers = np.zeros(len(vectors), dtype=np.int64)
        self.exact = np.full(len(vectors), np.inf)
        self.exact_centers = np.zeros(len(vectors), dtype=np.int64)
        self.is_pick = np.zeros(len(vectors), dtype=bool)
        self.picks: list[int] = []
        self.width = WIDTH
        self.given, self.count = centers, len(centers)
        self.centers = np.empty((len(centers) + budget, vectors.shape[1]), np.float32)
        self.centers[: len(centers)] = Rows(centers, np.float32, middle, factor)[:]
        self.center_norms = np.empty(len(self.centers), np.float32)
        self.center_norms[: len(centers)] = _norms(self.centers[: len(centers)])

    def add_pick(self, row: int) -> None:
        """Make a row a pick and a center."""
        self.picks.append(row)
        self.is_pick[row] = True
        self.centers[self.count] = self.rows[np.array([row])][0]
        self.center_norms[self.count] = self.norms[row]
        self.count += 1

    def compare_first_centers(self) -> None:
        """Compare all rows with the first centers: tighter upper bounds leave fewer rows to update later."""
        start = int(self.bound_centers.min())
        if start < min(STARTING, self.count):
            stop = self.count if start else min(STARTING, self.count)
            for part in slices(len(self.rows)):
                self._lower_bounds(part, start, stop)

    def update_bounds(self, rows: np.ndarray) -> None:
        """Compare rows with all centers that their upper bounds do not include yet."""
        for start in np.unique(self.bound_centers[rows]).tolist():
            if start < self.count:
                group = rows[self.bound_centers[rows] == start]
                for part in slices(len(group)):
                    self._lower_bounds(group[part], start, self.count)

    def _lower_bounds(self, rows: slice | np.ndarray, start: int, stop: int) -> None:
        """Lower the upper bounds of rows by their distances to the centers ``start:stop``."""
        vectors, squared = self.rows[rows], self.upper_bound[rows]
        for part in slices(stop - start, 512):
            chosen = slice(start + part.start, start + part.stop)
            table = products(-2 * self.centers[chosen], vectors)  # (centers, rows)
            table += self.center_norms[chosen, None]
            squared = np.minimum(squared, np.maximum(table.min(axis=0) + self.norms[rows], 0))
        self.upper_bound[rows] = squared
        self.bound_centers[rows] = np.maximum(self.bound_centers[rows], stop)

    def nearest_to_the_mean(self) -> int:
        """The row nearest to the mean of all rows."""
        middle, vectors = mean(self.rows.vectors), self.rows.vectors
        parts = (np.square(vectors[part].astype(np.float64) - middle).sum(axis=1) for part in slices(len(vectors)))
        return int(np.concatenate(list(parts)).argmin())

    def pick_from_block(self) -> int:
        """Pick among the farthest rows while no row outside can be farther; returns the number of picks."""
        self.compare_first_centers()
        rows, limit = self._farthest()
        vectors, norms, slack = self.rows[rows], self.norms[rows], self.slack[rows]
        table = np.maximum(norms[:, None] + norms - 2 * products(vectors, vectors), 0)  # (rows, rows)
        squared, is_open = self.upper_bound[rows], np.ones(len(rows), dtype=bool)
        before = len(self.picks)
        while self.count < len(self.centers) and is_open.any():
            least = np.where(is_open, squared - 2 * self.error * squared - slack, -np.inf).max()
            if least <= limit:
                break
            candidates = np.flatnonzero(is_open & (squared + 2 * self.error * squared + slack >= least))
            pick = self._farthest_of(rows, candidates)
            self.add_pick(int(rows[pick]))
            is_open[pick] = False
            np.minimum(squared, table[pick], out=squared)
        return len(self.picks) - before

    def _farthest(self) -> tuple[np.ndarray, float]:
        """A block of rows with up-to-date bounds, ascending, and a limit that no row outside it exceeds."""
        upper, remaining = self._bounds_with_rounding(slice(None)), len(self.rows) - len(self.picks)
        while True:
            self.width = min(self.width, remaining)
            rows, limit = _largest(upper, self.width)
            stale = rows[self.bound_centers[rows] < self.count]
            self.update_bounds(stale)
            upper[stale] = self._bounds_with_rounding(stale)
            if not len(stale) or self.width == remaining or np.count_nonzero(upper[rows] > limit) >= ENOUGH:
                break
            self.width *= 2
        self.width = max(self.width // 2, WIDTH)
        block, inner_limit = _largest(upper[rows], min(WIDTH, len(rows)))
        return np.sort(rows[block]), max(limit, inner_limit)

    def pick_one(self) -> bool:
        """Pick the farthest of all rows; False if all remaining rows coincide with a center."""
        while True:
            current = np.flatnonzero(~self.is_pick & (self.bound_centers == self.count))
            squared = self.upper_bound[current]
            least = (squared - 2 * self.error * squared - self.slack[current]).max()
            candidates = np.flatnonzero(self._bounds_with_rounding(slice(None)) >= least)
            stale = candidates[self.bound_centers[candidates] < self.count]
            if not len(stale):
                break
            self.update_bounds(stale)
        exact = self._exact_distances(candidates)
        if exact.max() == 0:
            return False
        self.add_pick(int(candidates[exact.argmax()]))
        return True

    def pick_rest(self) -> None:
        """Pick the lowest remaining rows; all of them coincide with a center."""
        for row in np.flatnonzero(~self.is_pick)[: len(self.centers) - self.count].tolist():
            self.add_pick(row)

    def distances(self) -> np.ndarray:
        """(n,) to the nearest center, in the units of the input."""
        self.update_bounds(np.arange(len(self.rows)))
        return np.sqrt(np.where(self.is_pick, 0, self.upper_bound)) * np.float32(self.unit)

    def _bounds_with_rounding(self, part: slice | np.ndarray) -> np.ndarray:
        """Upper bounds that include the rounding error; −inf for picks."""
        upper = self.upper_bound[part] + 2 * self.error * self.upper_bound[part] + self.slack[part]
        upper[self.is_pick[part]] = -np.inf
        return upper

    def _farthest_of(self, rows: np.ndarray, candidates: np.ndarray) -> int:
        """The index into ``rows`` of the candidate that is exactly the farthest."""
        best = 0 if len(candidates) == 1 else self._exact_distances(rows[candidates]).argmax()
        return int(candidates[best])

    def _exact_distances(self, rows: np.ndarray) -> np.ndarray:
        """(k,) float64 squared distances to the nearest center; no pair is compared twice."""
        stale = rows[(self.exact_centers[rows] < self.count) & (self.exact[rows] > 0)]
        for part in slices(len(stale), 1024):
            self._update_exact(stale[part])
        return self.exact[rows]

    def _update_exact(self, rows: np.ndarray) -> None:
        """Compare rows with all new centers that can be the nearest, given the float32 distances and their error."""
        start = int(self.exact_centers[rows].min())
        centers, norms = self.centers[start : self.count], self.center_norms[start : self.count]
        table = self.norms[rows][:, None] + norms - 2 * products(self.rows[rows], centers)  # (rows, centers)
        error = 2 * self.error * (self.norms[rows][:, None] + norms) + np.float32(1e-30)
        likely = table.argmin(axis=1)
        self._lower_exact(rows, likely + start)
        possible = table - error <= (table + error).min(axis=1, keepdims=True)
        possible[np.arange(len(rows)), likely] = False
        possible[self.exact[rows] == 0] = False
        row_indices, center_indices = np.nonzero(possible)
        for part in slices(len(row_indices), PAIRS):
            self._lower_exact(rows[row_indices[part]], center_indices[part] + start)
        self.exact_centers[rows] = self.count

    def _lower_exact(self, rows: np.ndarray, centers: np.ndarray) -> None:
        """Lower the exact distances of rows by their distances to one center each."""
        ours = self.rows.vectors[rows].astype(np.float64)
        theirs = np.empty_like(ours)
        given = centers < len(self.given)
        theirs[given] = self.given[centers[given]]
        picked = np.array(self.picks, dtype=np.int64)[centers[~given] - len(self.given)]
        theirs[~given] = self.rows.vectors[picked]
        np.minimum.at(self.exact, rows, np.square(ours - theirs).sum(axis=1))


def _largest(values: np.ndarray, count: int) -> tuple[np.ndarray, float]:
    """Indices of the largest values, and the largest of the other values."""
    if count >= len(values):
        return np.arange(len(values)), -np.inf
    order = np.argpartition(values, len(values) - count - 1)
    return order[-count:], float(values[order[-count - 1]])


def _norms(vectors: np.ndarray) -> np.ndarray:
    return np.einsum("ij,ij->i", vectors, vectors)
