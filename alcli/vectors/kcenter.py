"""k-center greedy: again and again the item farthest from all centres, exactly, by matrix products.

Sequential code reads all vectors once for each centre and each pick. Two things spare most of that and change no pick.
Distances to centres only shrink: so the best of a block of the 256 farthest rows is the next pick as long as it is
farther than all outside were, found with the 256 × 256 distances alone; and rows that stood below the picks when they
knew only the first 64 centres need not meet the others at all. Products in float32 are off in the last digits, by no
more than a bound that is known: where it leaves more than one candidate, their distances are computed anew in float64,
difference by difference. The picks are those of the sequential greedy in float64, with ties to the lowest row, on every
machine.

Source: Gonzalez (1985), 2-approximation; Sener & Savarese, "Active Learning for CNNs: A Core-Set Approach", ICLR 2018.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from alcli.vectors.rows import Rows, mean, products, projected, scale, slices

WIDTH = 256
ENOUGH = 64
"""Rows that should stand above all that are not up to date before picking begins."""
STARTING = 64
"""Centres that all rows are compared with; later ones only with rows that come to the top."""
EXACT_OPERATIONS = 2e13
"""Floating-point operations up to which the exact way is taken: minutes on one core."""
CANDIDATES_PER_PICK, NARROW = 50, 64
PAIRS = 8192


@dataclass(frozen=True)
class Cover:
    """Chosen rows and what they leave uncovered.

    Attributes:
        picks: rows in the order of picking.
        distances: call it for (n,) float32 distances to the nearest centre or pick, right to about four digits; 0 for
            picks. It takes longer than the picking did, because most rows never had to be looked at closely.
    """

    picks: np.ndarray
    distances: Callable[[], np.ndarray]


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
        return Cover(np.zeros(0, dtype=np.int64), lambda: np.zeros(len(vectors), np.float32))
    search = _Search(vectors, centres, budget)
    if not len(centres):
        search.take(search.nearest_to_the_mean() if first is None else first)
    while len(search.picks) < budget:
        if not search.block() and not search.single():
            search.fill()
    return Cover(np.array(search.picks, dtype=np.int64), search.distances)


def approximate(vectors: np.ndarray, budget: int, centres: np.ndarray, rng: np.random.Generator) -> Cover:
    """``greedy`` among a random sample of the rows in a random projection, for pools of tens of millions.

    The sample has 50 rows for each pick, so that about 98 % of the pool lie within the radius that covers the sample;
    the projection to 64 columns keeps distances to about an eighth. Rows outside the sample have the distance 0.
    """
    count = min(len(vectors), CANDIDATES_PER_PICK * budget)
    sample = np.sort(rng.choice(len(vectors), size=count, replace=False))
    both = np.concatenate([vectors[sample], centres.astype(vectors.dtype)])
    narrow = projected(both, NARROW, rng) if vectors.shape[1] > NARROW else both
    found = greedy(narrow[:count], budget, narrow[count:])

    def distances() -> np.ndarray:
        result = np.zeros(len(vectors), np.float32)
        result[sample] = found.distances()
        return result

    return Cover(sample[found.picks], distances)


def greedy_or_approximate(vectors: np.ndarray, budget: int, centres: np.ndarray, rng: np.random.Generator) -> Cover:
    """``greedy`` where it takes minutes at most, else ``approximate``."""
    if 2.0 * vectors.size * (len(centres) + budget) > EXACT_OPERATIONS:
        return approximate(vectors, budget, centres, rng)
    return greedy(vectors, budget, centres)


class _Search:
    """The state of one run: float32 squared distances of all rows, float64 ones of those that had to be compared.

    A row's float32 distance knows the first ``upto[row]`` centres. Distances only shrink, so one that knows too few is
    an upper bound; rows are brought up to date when they stand at the top.
    """

    def __init__(self, vectors: np.ndarray, centres: np.ndarray, budget: int) -> None:
        # Near the mean products lose the fewest digits; near is enough. In float32, so that vectors and centres of
        # different types are shifted by the very same.
        middle = mean(vectors, 1000).clip(-3e38, 3e38).astype(np.float32)
        factor = min(scale(vectors), scale(centres)) if len(centres) else scale(vectors)
        self.rows = Rows(vectors, np.float32, middle, factor)
        self.unit = 1.0 / factor
        self.norms = np.concatenate([_norms(self.rows[part]) for part in slices(len(vectors))])
        # |computed − true| ≤ (d/2 + 8) · 2⁻²⁴ · (‖a‖ + ‖b‖)² for a product summed in any order, and a tenth for safety.
        self.bound = np.float32(1.1 * (vectors.shape[1] / 2 + 8) * 2.0**-24)
        self.slack = self.bound * 8 * self.norms + np.float32(1e-30)
        self.squared = np.full(len(vectors), np.inf, np.float32)
        self.upto = np.zeros(len(vectors), dtype=np.int64)
        self.taken = np.zeros(len(vectors), dtype=bool)
        self.picks: list[int] = []
        self.width = WIDTH
        self.given, self.count = centres, len(centres)
        self.centres = np.empty((len(centres) + budget, vectors.shape[1]), np.float32)
        self.centres[: len(centres)] = Rows(centres, np.float32, middle, factor)[:]
        self.centre_norms = np.empty(len(self.centres), np.float32)
        self.centre_norms[: len(centres)] = _norms(self.centres[: len(centres)])
        self.known = np.full(len(vectors), np.inf)
        self.seen = np.zeros(len(vectors), dtype=np.int64)

    def take(self, row: int) -> None:
        """Make a row a pick and a centre."""
        self.picks.append(row)
        self.taken[row] = True
        self.centres[self.count] = self.rows[np.array([row])][0]
        self.centre_norms[self.count] = self.norms[row]
        self.count += 1

    def start(self) -> None:
        """Show all rows the first centres: the better the upper bounds, the fewer rows ever come to the top."""
        known = int(self.upto.min())
        if known < min(STARTING, self.count):
            stop = self.count if known else min(STARTING, self.count)
            for part in slices(len(self.rows)):
                self._lower(part, known, stop)

    def refresh(self, rows: np.ndarray) -> None:
        """Bring rows up to date with all centres."""
        for known in np.unique(self.upto[rows]).tolist():
            if known < self.count:
                group = rows[self.upto[rows] == known]
                for part in slices(len(group)):
                    self._lower(group[part], known, self.count)

    def _lower(self, rows: slice | np.ndarray, known: int, stop: int) -> None:
        vectors, squared = self.rows[rows], self.squared[rows]
        for some in slices(stop - known, 512):
            chosen = slice(known + some.start, known + some.stop)
            table = products(-2 * self.centres[chosen], vectors)
            table += self.centre_norms[chosen, None]
            squared = np.minimum(squared, np.maximum(table.min(axis=0) + self.norms[rows], 0))
        self.squared[rows] = squared
        self.upto[rows] = np.maximum(self.upto[rows], stop)

    def nearest_to_the_mean(self) -> int:
        """The row nearest to the mean of all."""
        middle, vectors = mean(self.rows.vectors), self.rows.vectors
        parts = (np.square(vectors[part].astype(np.float64) - middle).sum(axis=1) for part in slices(len(vectors)))
        return int(np.concatenate(list(parts)).argmin())

    def block(self) -> int:
        """Pick among the farthest rows as long as none outside can be farther; the number of picks."""
        self.start()
        rows, limit = self._farthest()
        vectors, norms, slack = self.rows[rows], self.norms[rows], self.slack[rows]
        table = np.maximum(norms[:, None] + norms - 2 * products(vectors, vectors), 0)
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
        return len(self.picks) - before

    def _farthest(self) -> tuple[np.ndarray, float]:
        """(a block of rows that are up to date, in ascending order; no row outside is farther than this)."""
        upper, remaining = self._upper(slice(None)), len(self.rows) - len(self.picks)
        while True:
            self.width = min(self.width, remaining)
            rows, limit = _largest(upper, self.width)
            stale = rows[self.upto[rows] < self.count]
            self.refresh(stale)
            upper[stale] = self._upper(stale)
            if not len(stale) or self.width == remaining or np.count_nonzero(upper[rows] > limit) >= ENOUGH:
                break
            self.width *= 2
        self.width = max(self.width // 2, WIDTH)
        places, inner = _largest(upper[rows], min(WIDTH, len(rows)))
        return np.sort(rows[places]), max(limit, inner)

    def single(self) -> bool:
        """One pick among all rows that can be the farthest; False where all left lie on a centre."""
        while True:
            fresh = np.flatnonzero(~self.taken & (self.upto == self.count))
            least = (self.squared[fresh] - 2 * self.bound * self.squared[fresh] - self.slack[fresh]).max()
            near = np.flatnonzero(self._upper(slice(None)) >= least)
            stale = near[self.upto[near] < self.count]
            if not len(stale):
                break
            self.refresh(stale)
        exact = self._exact(near)
        if exact.max() == 0:
            return False
        self.take(int(near[exact.argmax()]))
        return True

    def fill(self) -> None:
        """Pick the lowest rows: all that are left lie on a centre."""
        for row in np.flatnonzero(~self.taken)[: len(self.centres) - self.count].tolist():
            self.take(row)

    def distances(self) -> np.ndarray:
        """(n,) to the nearest centre, in the units of the input."""
        self.refresh(np.arange(len(self.rows)))
        return np.sqrt(np.where(self.taken, 0, self.squared)) * np.float32(self.unit)

    def _upper(self, part: slice | np.ndarray) -> np.ndarray:
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
        table = self.norms[rows][:, None] + norms - 2 * products(self.rows[rows], centres)
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


def _largest(values: np.ndarray, count: int) -> tuple[np.ndarray, float]:
    """(places of the largest values, the largest of the others)."""
    if count >= len(values):
        return np.arange(len(values)), -np.inf
    order = np.argpartition(values, len(values) - count - 1)
    return order[-count:], float(values[order[-count - 1]])


def _norms(vectors: np.ndarray) -> np.ndarray:
    return np.einsum("ij,ij->i", vectors, vectors)
