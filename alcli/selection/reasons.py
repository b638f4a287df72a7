"""Why an item is asked for, in plain words: from the signals that its strategy used, and no others."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from alcli.items import Item, QueryRow
from alcli.signals import Signals
from alcli.vectors.neighbors import center_and_scale, nearest
from alcli.vectors.rows import Rows, evenly_spaced

PHRASES = {
    "predicted_loss": ("a larger predicted loss than", "a smaller predicted loss than"),
    "entropy": ("less certain (entropy) than", "more certain (entropy) than"),
    "margin": ("less sure of the class than for", "surer of the class than for"),
    "least_confidence": ("less confident than for", "more confident than for"),
    "mutual_information": ("thinned networks disagree more than on", "thinned networks agree more than on"),
    "output_discrepancy": ("changed more since the last model than", "changed less since the last model than"),
}
"""How each number compares with the pool's, high and low: "less sure of the class than for 84 % of the images"."""
TELLING = frozenset({"class_scores", "margin", "tie"})
"""Signals that name classes or boxes; they are free where a strategy uses the model's answers anyway."""
OF_ANSWERS = frozenset({"entropy", "margin", "least_confidence", "mutual_information", "class_scores"})
MOST_CLASSES = 100
"""With more classes, their scores would take more room than all other signals together."""
APART = "different from the other images to annotate"
ON_BOX = "? (box around"
WORTH = 25
"""Percent from the top of the pool: a higher number is named even where there are better reasons."""
TIED = 0.7
ROUNDING = 0.02
"""Of scores computed in bfloat16."""
SEEN = 0.25
COMPARED = 2000


def signals_for_reasons(needs: frozenset[str], given: frozenset[str], classes: int) -> frozenset[str]:
    """The signals, of those ``given`` by the task, to compute for reasons in addition to a strategy's own ``needs``."""
    return TELLING & given if needs & OF_ANSWERS and classes <= MOST_CLASSES else frozenset()


@dataclass(frozen=True)
class Grounds:
    """What reasons are made from.

    Attributes:
        needs: names of the signals that the strategy used.
        signals: of the whole pool, with the labeled items where the strategy used them, too.
        items: by id, including the labeled ones.
        classes: in the order of ``class_scores``.
        rare: the classes with few annotated objects.
    """

    needs: frozenset[str]
    signals: Signals
    items: Mapping[str, Item]
    classes: Sequence[str]
    rare: Collection[str] = ()


def add_reasons(rows: Sequence[QueryRow], grounds: Grounds) -> list[QueryRow]:
    """Say why each row is where it is; a row that has a reason, such as one that chance chose, keeps it.

    Every row is told how high its signals lie in the pool. Rows asked for also get tied classes, rare classes and the
    nearest labeled item, where the strategy used such signals.
    """
    index = {item_id: position for position, item_id in enumerate(grounds.signals.item_ids)}
    tops = _shares_above(grounds)
    asked = [index[row.item.id] for row in rows if row.asked]
    causes = _ties(grounds, asked)
    for further in (_surroundings(grounds, asked), _rare_class_reasons(grounds, asked)):
        for position, text in further.items():
            causes[position] = [*causes.get(position, []), text]
    return [
        row
        if row.reason
        else replace(row, reason=_reason(causes.get(index[row.item.id], []), index[row.item.id], tops))
        for row in rows
    ]


def _reason(causes: Sequence[str], position: int, tops: Mapping[str, np.ndarray]) -> str:
    tops = {name: values for name, values in tops.items() if not _is_implied(name, causes)}
    # A strategy that looks at groups also asks for images that no number speaks for: there it is no reason.
    names = [name for name in tops if tops[name][position] <= WORTH] if causes else list(tops)
    numbers = [_in_words(*PHRASES[name], tops[name][position], len(tops[name])) for name in names]
    # What all of them have in common comes last.
    return "; ".join(sorted([*causes, *numbers], key=lambda part: part == APART))


def _shares_above(grounds: Grounds) -> dict[str, np.ndarray]:
    """For each one-number signal, the (n,) percentage of the pool that has at least as much of it."""
    shares = {}
    for name in PHRASES:
        if name in grounds.needs and len(grounds.signals):
            values = np.nan_to_num(grounds.signals[name], nan=-np.inf)
            shares[name] = 100 - 100 * np.searchsorted(np.sort(values), values, side="left") / len(values)
    return shares


def _in_words(more: str, less: str, top: float, count: int) -> str:
    # ``top`` counts the image itself and its equals; the others are what it is compared with.
    if top <= 50:
        return f"{more} {min(99, round(100 - top))} % of the images"
    return f"{less} {min(99, round(top - 100 / count))} % of the images"


def _is_implied(name: str, causes: Sequence[str]) -> bool:
    """Whether another cause says the same better: tied classes of the whole image say what the margin is."""
    return name == "margin" and any(cause.endswith("?") for cause in causes)


def _ties(grounds: Grounds, positions: Sequence[int]) -> dict[int, list[str]]:
    """Find items with two classes that are nearly equally likely, on a box or for the whole image.

    A model answers with one class for the whole image if the two largest class scores make up the margin everywhere in
    the pool; over boxes, joints or pixels they do not.
    """
    arrays = grounds.signals.arrays
    if not positions or len(grounds.classes) < 2:
        return {}
    if "tie" in arrays:
        return _ties_on_boxes(grounds, positions)
    if not arrays.keys() >= {"class_scores", "margin"}:
        return {}
    sample = evenly_spaced(range(len(grounds.signals)), COMPARED)
    if not _one_answer(*_two_best(arrays, sample)[1:]):
        return {}
    order, _, margins = _two_best(arrays, positions)
    names = grounds.classes
    return {
        position: [_tie_in_words(names, first, second)]
        for position, (first, second), margin in zip(positions, order.tolist(), margins.tolist(), strict=True)
        if margin >= TIED
    }


def _ties_on_boxes(grounds: Grounds, positions: Sequence[int]) -> dict[int, list[str]]:
    """Name the box by where it is: boxes in doubt score too low to be drawn and numbered."""
    ties = {}
    for position in positions:
        tie = np.asarray(grounds.signals["tie"][position], dtype=np.float64)
        first, second, margin, across, down = tie.tolist()
        if margin >= TIED:
            where = f"{ON_BOX} {100 * across:.0f} % across, {100 * down:.0f} % down)"
            ties[position] = [f"{_tie_in_words(grounds.classes, int(first), int(second)).removesuffix('?')}{where}"]
    return ties


def _tie_in_words(names: Sequence[str], first: int, second: int) -> str:
    return f"{names[first]} or {names[second]}?"


def _two_best(arrays: Mapping[str, np.ndarray], positions: Sequence[int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The two likeliest classes (k, 2) of k items, how far apart they are (k,), and the margin (k,)."""
    scores = np.asarray(arrays["class_scores"][list(positions)], dtype=np.float64)  # (k, classes)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :2]
    best = np.take_along_axis(scores, order, axis=1)
    return order, best[:, 0] - best[:, 1], np.asarray(arrays["margin"][list(positions)], dtype=np.float64)


def _one_answer(gaps: np.ndarray, margins: np.ndarray) -> bool:
    known = np.isfinite(gaps) & np.isfinite(margins)
    return bool(known.any() and (np.abs(1 - gaps - margins)[known] < ROUNDING).all())


def _surroundings(grounds: Grounds, positions: Sequence[int]) -> dict[int, str]:
    """Say how far items lie from labeled ones, or from one another, where the strategy used embeddings."""
    if "embedding" not in grounds.needs or not positions:
        return {}
    labeled = grounds.signals.labeled
    if labeled is None:
        return dict.fromkeys(positions, APART)
    if not len(labeled) or "embedding" not in labeled.arrays:
        return {}
    pool = grounds.signals["embedding"]
    compared = [*positions, *evenly_spaced(range(len(pool)), COMPARED)]
    both = center_and_scale(np.concatenate([pool[compared], labeled["embedding"]]).astype(np.float32))
    indices, distances = nearest(Rows(both[: len(compared)], np.float64), both[len(compared) :])
    middle = float(np.median(distances[len(positions) :]))
    names = [grounds.items[labeled.item_ids[index]].name for index in indices[: len(positions)].tolist()]
    return {
        position: f"far from everything labeled: nearest is {name}" if distance > middle else f"nearest labeled: {name}"
        for position, name, distance in zip(positions, names, distances.tolist(), strict=False)
    }


def _rare_class_reasons(grounds: Grounds, positions: Sequence[int]) -> dict[int, str]:
    """The rare classes that the model predicts on an item, the surest first."""
    if "class_scores" not in grounds.signals.arrays or not grounds.rare or not positions:
        return {}
    reasons = {}
    for position in positions:
        scores = np.asarray(grounds.signals["class_scores"][position], dtype=np.float64)  # (classes,)
        seen = [int(c) for c in np.argsort(-scores, kind="stable") if scores[c] >= SEEN]
        names = [grounds.classes[c] for c in seen if grounds.classes[c] in grounds.rare]
        if names:
            reasons[position] = f"rare class: {', '.join(names)}"
    return reasons


RARE = 0.25
"""A class is rare below this part of an even share."""


def rare_classes(counts: Mapping[str, int], classes: Collection[str]) -> frozenset[str]:
    """The classes with less than a quarter of an even share of the annotated objects."""
    even = sum(counts.get(name, 0) for name in classes) / max(len(classes), 1)
    return frozenset(name for name in classes if counts.get(name, 0) < RARE * even)
