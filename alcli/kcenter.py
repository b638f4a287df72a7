"""k-center greedy: again and again the item farthest from all centres, exactly, by matrix products.

Sequential code reads all vectors once for each pick. Here the farthest 256 form a block: distances to centres only
shrink, so as long as the best of the block is still farther than all outside, it is the next pick, found with the
256 × 256 distances alone; then one matrix product brings all items up to date. Products in float32 are off in the last
digits, by no more than a bound that is known: where it leaves more than one candidate, their distances are computed
anew in float64, difference by difference. The picks are those of the sequential greedy in float64, with ties to the
lowest row, on every machine.

Source: Gonzalez (1985), 2-approximation; Sener & Savarese, "Active Learning for CNNs: A Core-Set Approach", ICLR 2018.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from alcli.vectors import Rows, mean, projected, scale, slices

WIDTH = 256
EXACT_OPERATIONS = 2e13
"""Floating-point operations up to which the exact way is taken: minutes on one core."""
CANDIDATES_PER_PICK, NARROW = 50, 64
PAIRS = 8192


@dataclass(frozen=True)
class Cover:
    """Chosen rows and what they leave uncovered.

    Attributes:
        picks: rows in the order of picking.
        distances: (n,) float32, to the nearest centre or pick; 0 for picks. Right to about four digits.
    """

    picks: np.ndarray
    distances: np.ndarray


def greedy(vectors: np.ndarray, budget: int, centres: np.ndarray | None = None, first: int | None = None) -> Cover:
    """Pick rows one after the other, each the farthest from all centres and earlier picks.

    Args:
        vectors: (n, d) floating, finite; a memory map is read by blocks.
        budget: how many; all rows where it is larger.
        centres: (c, d) vectors that are covered already.
        first: the first pick where there are no centres; without it the row nearest to the mean.
    """
    if centres is None:
        centres = np.zeros((0, vectors.shape[1]), vectors.dtype)
    budget = max(min(budget, len(vectors)), 0)
    if not len(vectors) or (not budget and not len(centres)):
        return Cover(np.zeros(0, dtype=np.int64), np.zeros(len(vectors), np.float32))
    search = _Search(vectors, centres, budget)
    if not len(centres):
        search.take(search.nearest_to_the_mean() if first is None else first)
        search.absorb()
    while len(search.picks) < budget:
        if not search.block() and not search.single():
            search.fill()
    search.absorb()
    return search.cover()


def approximate(vectors: np.ndarray, budget: int, centres: np.ndarray, rng: np.random.Generator) -> Cover:
    """``greedy`` among a random sample of the rows in a random projection, for pools of tens of millions.

    The sample has 50 rows for each pick, which leaves the radius that covers 98 % of the pool nearly as it is; the
    projection to 64 columns keeps distances to about an eighth. Rows outside the sample have the distance 0.
    """
    count = min(len(vectors), CANDIDATES_PER_PICK * budget)
    sample = np.sort(rng.choice(len(vectors), size=count, replace=False))
    both = np.concatenate([vectors[sample], centres.astype(vectors.dtype)])
    narrow = projected(both, NARROW, rng) if vectors.shape[1] > NARROW else both
    found = greedy(narrow[:count], budget, narrow[count:])
    distances = np.zeros(len(vectors), np.float32)
    distances[sample] = found.distances
    return Cover(sample[found.picks], distances)


def greedy_or_approximate(vectors: np.ndarray, budget: int, centres: np.ndarray, rng: np.random.Generator) -> Cover:
    """``greedy`` where it takes minutes at most, else ``approximate``."""
    if 2.0 * vectors.size * (len(centres) + budget) > EXACT_OPERATIONS:
        return approximate(vectors, budget, centres, rng)
    return greedy(vectors, budget, centres)


class _Search:
    """The state of one run: float32 squared distances of all rows, float64 ones of those that had to be compared."""

    def __init__(self, vectors: np.ndarray, centres: np.ndarray, budget: int) -> None:
        # Near the mean products lose the fewest digits; near is enough.
        middle, factor = mean(vectors, 1000), scale(vectors)
        self.rows = Rows(vectors, np.float32, middle, factor)
        self.unit = 1.0 / factor
        self.norms = np.concatenate([_norms(self.rows[part]) for part in slices(len(vectors))])
        # |computed − true| ≤ (d/2 + 8) · 2⁻²⁴ · (‖a‖ + ‖b‖)² for a product summed in any order; twice that for safety.
        self.bound = np.float32((vectors.shape[1] + 16) * 2.0**-24)
        self.slack = self.bound * 8 * self.norms + np.float32(1e-30)
        self.squared = np.full(len(vectors), np.inf, np.float32)
        self.taken = np.zeros(len(vectors), dtype=bool)
        self.picks: list[int] = []
        self.width = WIDTH
        self.given = centres
        self.absorbed = 0
        self.centres = np.empty((len(centres) + budget, vectors.shape[1]), np.float32)
        self.centres[: len(centres)] = Rows(centres, np.float32, middle, factor)[:]
        self.centre_norms = np.empty(len(self.centres), np.float32)
        self.centre_norms[: len(centres)] = _norms(self.centres[: len(centres)])
        self.count = len(centres)
        self.known = np.full(len(vectors), np.inf)
        self.seen = np.zeros(len(vectors), dtype=np.int64)
        self.absorb()

    def take(self, row: int) -> None:
        """Make a row a pick and a centre."""
        self.picks.append(row)
        self.taken[row] = True
        self.centres[self.count] = self.rows[np.array([row])][0]
        self.centre_norms[self.count] = self.norms[row]
        self.count += 1

    def absorb(self) -> None:
        """Bring the squared distances of all rows up to date with the newest centres."""
        for new in slices(self.count - self.absorbed, 512):
            chosen = slice(self.absorbed + new.start, self.absorbed + new.stop)
            doubled, norms = -2 * self.centres[chosen], self.centre_norms[chosen, None]
            for part in slices(len(self.rows)):
                table = doubled @ self.rows[part].T
                table += norms
                nearest = table.min(axis=0) + self.norms[part]
                np.minimum(self.squared[part], np.maximum(nearest, 0), out=self.squared[part])
        self.absorbed = self.count

    def nearest_to_the_mean(self) -> int:
        """The row nearest to the mean of all."""
        middle, vectors = mean(self.rows.vectors), self.rows.vectors
        parts = (np.square(vectors[part].astype(np.float64) - middle).sum(axis=1) for part in slices(len(vectors)))
        return int(np.concatenate(list(parts)).argmin())

    def block(self) -> int:
        """Pick among the farthest rows as long as none outside can be farther; the number of picks."""
        upper = self._upper(slice(None))
        width = min(self.width, len(upper) - len(self.picks))
        part = np.argpartition(upper, len(upper) - width - 1) if width < len(upper) else np.arange(len(upper))
        limit = upper[part[-width - 1]] if width < len(upper) else -np.inf
        rows = np.sort(part[-width:])
        vectors, norms, slack = self.rows[rows], self.norms[rows], self.slack[rows]
        table = np.maximum(norms[:, None] + norms - 2 * (vectors @ vectors.T), 0)
        here, open_ = self.squared[rows], np.ones(len(rows), dtype=bool)
        before = len(self.picks)
        while self.count < len(self.centres) and open_.any():
            least = np.where(open_, here - 2 * self.bound * here - slack, -np.inf).max()
            if least <= limit:
                break
            place = self._best(rows, np.flatnonzero(open_ & (here + 2 * self.bound * here + slack >= least)))
            self.take(int(rows[place]))
            open_[place] = False
            np.minimum(here, table[place], out=here)
        self.absorb()
        # Many near ties make blocks barren; wider ones cost little.
        self.width = min(2 * self.width, 2048) if len(self.picks) - before < 4 else self.width
        return len(self.picks) - before

    def single(self) -> bool:
        """One pick among all rows that can be the farthest; False where all left lie on a centre."""
        upper = self._upper(slice(None))
        lower = np.where(self.taken, -np.inf, self.squared - 2 * self.bound * self.squared - self.slack)
        near = np.flatnonzero(upper >= lower.max())
        exact = self._exact(near)
        if exact.max() == 0:
            return False
        self.take(int(near[exact.argmax()]))
        self.absorb()
        return True

    def fill(self) -> None:
        """Pick the lowest rows: all that are left lie on a centre."""
        for row in np.flatnonzero(~self.taken)[: len(self.centres) - self.count].tolist():
            self.take(row)

    def cover(self) -> Cover:
        """The result, in the units of the input."""
        distances = np.sqrt(np.where(self.taken, 0, self.squared)) * np.float32(self.unit)
        return Cover(np.array(self.picks, dtype=np.int64), distances)

    def _upper(self, part: slice) -> np.ndarray:
        upper = self.squared[part] + 2 * self.bound * self.squared[part] + self.slack[part]
        upper[self.taken[part]] = -np.inf
        return upper

    def _best(self, rows: np.ndarray, places: np.ndarray) -> int:
        return int(places[0] if len(places) == 1 else places[self._exact(rows[places]).argmax()])

    def _exact(self, rows: np.ndarray) -> np.ndarray:
        """(k,) float64 squared distances to the nearest centre; remembered, so that no pair is compared twice."""
        stale = rows[(self.seen[rows] < self.count) & (self.known[rows] > 0)]
        for part in slices(len(stale), 1024):
            self._learn(stale[part])
        return self.known[rows]

    def _learn(self, rows: np.ndarray) -> None:
        start = int(self.seen[rows].min())
        centres, norms = self.centres[start : self.count], self.centre_norms[start : self.count]
        table = self.norms[rows][:, None] + norms - 2 * (self.rows[rows] @ centres.T)
        error = 2 * self.bound * (self.norms[rows][:, None] + norms) + np.float32(1e-30)
        likely = table.argmin(axis=1)
        self._compare(rows, likely + start)
        possible = table - error <= (table + error).min(axis=1, keepdims=True)
        possible[np.arange(len(rows)), likely] = False
        possible[self.known[rows] == 0] = False
        places, others = np.nonzero(possible)
        for part in slices(len(places), PAIRS):
            self._compare(rows[places[part]], others[part] + start)
        self.seen[rows] = self.count

    def _compare(self, rows: np.ndarray, centres: np.ndarray) -> None:
        """Lower the known distances of rows by those to one centre each."""
        ours = self.rows.vectors[rows].astype(np.float64)
        theirs = np.empty_like(ours)
        given = centres < len(self.given)
        theirs[given] = self.given[centres[given]]
        picked = np.array(self.picks, dtype=np.int64)[centres[~given] - len(self.given)]
        theirs[~given] = self.rows.vectors[picked]
        np.minimum.at(self.known, rows, np.square(ours - theirs).sum(axis=1))


def _norms(vectors: np.ndarray) -> np.ndarray:
    return np.einsum("ij,ij->i", vectors, vectors)
