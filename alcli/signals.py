"""The model's outputs for n items: frozen arrays with one row per item, validated on construction."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from alcli.errors import DataError, UsageError

DESCRIPTIONS = {
    "predicted_loss": "(n,) the loss head's output, unitless; only its order means anything",
    "entropy": "(n,) ≥ 0, entropy of the predictions in nats, aggregated as the task says; high = uncertain",
    "margin": "(n,) in [0, 1], 1 − (largest − second largest probability), aggregated; high = uncertain",
    "least_confidence": "(n,) in [0, 1), 1 − largest probability, aggregated; high = uncertain",
    "embedding": "(n, ≤ 256) float16, pooled features, by a fixed random projection where there are more",
    "class_scores": "(n, classes) in [0, 1], how much of each class the model sees, as the task says",
    "class_uncertainty": "(n, classes) ≥ 0, entropy of the predictions in nats, shared among the classes by their "
    "probabilities; summed over boxes, a mean over pixels, labels and joints",
    "expected_objects": "(n,) ≥ 0, number of objects (labels, boxes, joints, classes) that the model expects",
    "tie": "(n, 6) for the box with the smallest gap between its two likeliest classes: both class indices, 1 − the "
    "gap, the center (x, y) as fractions of the image, and the larger probability; zeros without an uncertain box",
    "mutual_information": "(n,) ≥ 0, disagreement between dropout samples in nats, aggregated; high = uncertain",
    "support": "(n,) ≥ 0, mean over the boxes of the boxes before suppression that overlap each; only of predictions "
    "made elsewhere that say it",
    "output_discrepancy": "(n,) ≥ 0, half the squared distance to the previous model's output; high = uncertain",
}
"""All signals; only those that a strategy needs are computed. Aggregated by sum, they may exceed 1."""
UNKNOWN = -1.0
"""The uncertainty of an item in which the model sees no object: it may be blind there, or sure."""
UNCERTAINTIES = ("entropy", "margin", "least_confidence", "mutual_information", "output_discrepancy")
BLOCK = 65536


@dataclass(frozen=True)
class Signals:
    """Arrays for n items; row i of each array belongs to ``item_ids[i]``.

    Attributes:
        item_ids: n ids, unique.
        arrays: signal name → (n,) or (n, d) floating array; a NaN row means that the model gave no output.
        labeled: signals of the annotated items, for strategies that use them; None for the others.
        class_counts: annotated objects of each class, in the order of ``class_scores``; None where nobody counted.
        trust: uncertainty → in [0, 1], how surely it is larger where the model errs more; None where nobody measured.
        temperature: > 0, of the softmax that fits the held-out images best; None where nobody could fit it.

    Raises:
        DataError: an id occurs twice, or an array has another number of rows.
    """

    item_ids: Sequence[str]
    arrays: Mapping[str, np.ndarray]
    labeled: Signals | None = None
    class_counts: Sequence[int] | None = None
    trust: Mapping[str, float] | None = None
    temperature: float | None = None

    def __post_init__(self) -> None:
        if len(set(self.item_ids)) != len(self.item_ids):
            raise DataError("Signals name an item twice.")
        for name, array in self.arrays.items():
            if len(array) != len(self.item_ids):
                raise DataError(f"Signal {name!r} has {len(array)} rows for {len(self.item_ids)} items.")

    def __len__(self) -> int:
        return len(self.item_ids)

    def __getitem__(self, name: str) -> np.ndarray:
        """One signal by name; raises UsageError listing the available ones."""
        if name not in self.arrays:
            known = ", ".join(sorted(self.arrays)) or "none"
            raise UsageError(f"The signal {name!r} was not computed; there are: {known}.")
        return self.arrays[name]

    def only(self, names: Collection[str]) -> Signals:
        """Keep only these signals; ``labeled`` is unchanged."""
        return replace(self, arrays={name: array for name, array in self.arrays.items() if name in names})

    def matrix(self, name: str) -> np.ndarray:
        """(n, d): one vector per item; d = 1 if the signal is a scalar or there are no items."""
        array = self[name]
        return array if array.ndim == 2 else array.reshape(len(self), -1 if len(self) else 1)

    def labeled_matrix(self, name: str) -> np.ndarray:
        """(m, d): one vector per annotated item; m = 0 if there are no annotated items, or no items at all."""
        width = self.matrix(name).shape[1]
        if self.labeled is None or not len(self.labeled) or not len(self):
            return np.zeros((0, width), self[name].dtype)
        return self.labeled[name].reshape(len(self.labeled), width)

    def finite(self) -> np.ndarray:
        """(n,) bool: rows in which every signal is finite."""
        mask = np.ones(len(self), dtype=bool)
        for array in self.arrays.values():
            # In blocks, because the array may be a memory map larger than memory.
            for start in range(0, len(self), BLOCK):
                rows = slice(start, start + BLOCK)
                mask[rows] &= np.isfinite(array[rows]).all(axis=tuple(range(1, array.ndim)))
        return mask

    def with_typical_for_unknown(self) -> Signals:
        """Replace unknown uncertainties by the median of the known ones: neither asked for first nor put off."""
        arrays = dict(self.arrays)
        for name in UNCERTAINTIES:
            values = arrays.get(name)
            if values is not None and (values < 0).any():
                known = values[values >= 0]
                arrays[name] = np.where(values < 0, np.median(known) if len(known) else 0, values).astype(values.dtype)
        return replace(self, arrays=arrays)

    def take(self, rows: np.ndarray) -> Signals:
        """Select rows by (k,) integer positions or an (n,) mask, in that order; ``labeled`` is unchanged."""
        if rows.dtype == bool and rows.all():
            return self
        positions = np.flatnonzero(rows) if rows.dtype == bool else rows
        return Signals(
            [self.item_ids[row] for row in positions.tolist()],
            {name: array[positions] for name, array in self.arrays.items()},
            self.labeled,
            self.class_counts,
            self.trust,
            self.temperature,
        )

    def sort_by_id(self) -> Signals:
        """Sort the rows, and those of ``labeled``, by id, so that results do not depend on the order of listing."""
        labeled = self.labeled.sort_by_id() if self.labeled is not None else None
        order = sorted(range(len(self)), key=lambda row: self.item_ids[row])
        if order == list(range(len(self))):
            return replace(self, labeled=labeled)
        return replace(self.take(np.array(order, dtype=np.int64)), labeled=labeled)
