"""Why an item is asked for, in plain words: from the signals that its strategy looked at, and no others."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from alcli.items import Item, QueryRow
from alcli.signals import Signals
from alcli.vectors.neighbors import nearest, prepared
from alcli.vectors.rows import Rows

PHRASES = {
    "predicted_loss": "predicted loss",
    "entropy": "uncertainty (entropy)",
    "margin": "indecision between classes",
    "least_confidence": "lack of confidence",
    "mutual_information": "disagreement of thinned networks",
    "output_discrepancy": "change since the last model",
}
"""What each number is called before "in the top 2 %"."""
TELLING = frozenset({"class_scores", "margin", "tie"})
"""Signals that name classes or boxes; they cost nothing where a strategy looks at the model's answers anyway."""
OF_ANSWERS = frozenset({"entropy", "margin", "least_confidence", "mutual_information", "class_scores"})
MOST_CLASSES = 100
"""Beyond, the scores of all classes would take more room than all other signals together."""
APART = "unlike the others asked for"
ON_BOX = " on the box"
WORTH = 25
"""A place in the pool, in percent from the top, that is a reason beside better ones."""
TIED = 0.7
ROUNDING = 0.02
"""Of scores computed in bfloat16."""
SEEN = 0.25
COMPARED = 2000


def telling(needs: frozenset[str], given: frozenset[str], classes: int) -> frozenset[str]:
    """The signals to compute beside a strategy's own ``needs``, of those ``given`` by the task."""
    return TELLING & given if needs & OF_ANSWERS and classes <= MOST_CLASSES else frozenset()


@dataclass(frozen=True)
class Grounds:
    """What reasons are made from.

    Attributes:
        needs: names of the signals that the strategy looked at.
        signals: of the whole pool, with the annotated items where the strategy looked at them too.
        items: by id, the annotated ones included.
        classes: in the order of ``class_scores``.
        rare: the classes of which few objects are annotated.
    """

    needs: frozenset[str]
    signals: Signals
    items: Mapping[str, Item]
    classes: Sequence[str]
    rare: Collection[str] = ()


def explained(rows: Sequence[QueryRow], grounds: Grounds) -> list[QueryRow]:
    """The rows with their reasons; one that chance chose keeps its own.

    All rows get the place of their numbers in the pool. Those asked for also the tied classes, rare classes and the
    nearest annotated item, where the strategy looked at such things.
    """
    place = {item_id: row for row, item_id in enumerate(grounds.signals.item_ids)}
    numbers = _numbers(grounds)
    asked = [place[row.item.id] for row in rows if row.asked]
    more = _ties(grounds, asked)
    for extra in (_surroundings(grounds, asked), _rare(grounds, asked)):
        for row, text in extra.items():
            more[row] = [*more.get(row, []), text]

    def reason(row: QueryRow) -> str:
        at = place[row.item.id]
        parts = more.get(at, [])
        tops = {name: values for name, values in numbers.items() if not _told(name, parts)}
        places = {name: _share(values[at], len(values)) for name, values in tops.items()}
        # A strategy that looks at groups also asks for images that no number speaks for: there it is no reason.
        worth = [name for name in places if tops[name][at] <= WORTH] if parts else list(places)
        told = [*parts, *(f"{PHRASES[name]} in the {places[name]}" for name in worth)]
        # What all of them have in common comes last.
        return "; ".join(sorted(told, key=lambda part: part == APART))

    return [
        row if row.details.get("reason") else replace(row, details={**row.details, "reason": reason(row)})
        for row in rows
    ]


def _numbers(grounds: Grounds) -> dict[str, np.ndarray]:
    """Of each one-number signal the (n,) share of the pool, in percent, that has at least as much of it."""
    found = {}
    for name in PHRASES:
        if name in grounds.needs and len(grounds.signals):
            values = np.nan_to_num(grounds.signals[name], nan=-np.inf)
            found[name] = 100 - 100 * np.searchsorted(np.sort(values), values, side="left") / len(values)
    return found


def _share(top: float, count: int) -> str:
    return f"top {max(1, round(top))} %" if top <= 50 else f"lowest {max(1, round(100 - top + 100 / count))} %"


def _told(name: str, parts: Sequence[str]) -> bool:
    """Whether a better word for the same thing is there: tied classes of the whole image say what the margin is."""
    return name == "margin" and any(part.startswith("two classes") and ON_BOX not in part for part in parts)


def _ties(grounds: Grounds, rows: Sequence[int]) -> dict[int, list[str]]:
    """Rows with two classes that are nearly as likely: on a box, or where the answer is one class for the whole image.

    The latter is so where the two largest class scores make up the margin in all of the pool; over boxes, joints or
    pixels they do not.
    """
    arrays = grounds.signals.arrays
    if not rows or len(grounds.classes) < 2:
        return {}
    if "tie" in arrays:
        return _ties_on_boxes(grounds, rows)
    if not arrays.keys() >= {"class_scores", "margin"}:
        return {}
    sample = range(0, len(grounds.signals), max(1, len(grounds.signals) // COMPARED))
    if not _one_answer(*_two_best(arrays, sample)[1:]):
        return {}
    order, _, margins = _two_best(arrays, rows)
    names = grounds.classes
    return {
        row: [_tied(names, first, second)]
        for row, (first, second), margin in zip(rows, order.tolist(), margins.tolist(), strict=True)
        if margin >= TIED
    }


def _ties_on_boxes(grounds: Grounds, rows: Sequence[int]) -> dict[int, list[str]]:
    """The box is told by its place: boxes in doubt lie below the score from which boxes are drawn and numbered."""
    found = {}
    for row in rows:
        first, second, margin, across, down = np.asarray(grounds.signals["tie"][row], dtype=np.float64).tolist()
        if margin >= TIED:
            place = f"{ON_BOX} around {100 * across:.0f} % across, {100 * down:.0f} % down"
            found[row] = [f"{_tied(grounds.classes, int(first), int(second))}{place}"]
    return found


def _tied(names: Sequence[str], first: int, second: int) -> str:
    return f"two classes nearly tied: {names[first]} / {names[second]}"


def _two_best(arrays: Mapping[str, np.ndarray], rows: Sequence[int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of some rows the two likeliest classes (k, 2), how far apart they are (k,), and the margin (k,)."""
    scores = np.asarray(arrays["class_scores"][list(rows)], dtype=np.float64)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :2]
    best = np.take_along_axis(scores, order, axis=1)
    return order, best[:, 0] - best[:, 1], np.asarray(arrays["margin"][list(rows)], dtype=np.float64)


def _one_answer(gaps: np.ndarray, margins: np.ndarray) -> bool:
    known = np.isfinite(gaps) & np.isfinite(margins)
    return bool(known.any() and (np.abs(1 - gaps - margins)[known] < ROUNDING).all())


def _surroundings(grounds: Grounds, rows: Sequence[int]) -> dict[int, str]:
    """How far rows lie from what is annotated, or from one another, where the strategy looked at that."""
    if "embedding" not in grounds.needs or not rows:
        return {}
    labeled = grounds.signals.labeled
    if labeled is None:
        return dict.fromkeys(rows, APART)
    if not len(labeled) or "embedding" not in labeled.arrays:
        return {}
    pool = grounds.signals["embedding"]
    compared = [*rows, *range(0, len(pool), max(1, len(pool) // COMPARED))]
    both = prepared(np.concatenate([pool[compared], labeled["embedding"]]).astype(np.float32))
    places, distances = nearest(Rows(both[: len(compared)], np.float64), both[len(compared) :])
    middle = float(np.median(distances[len(rows) :]))
    names = [grounds.items[labeled.item_ids[place]].name for place in places[: len(rows)].tolist()]
    return {
        row: f"far from everything labelled: nearest is {name}" if distance > middle else f"nearest labelled: {name}"
        for row, name, distance in zip(rows, names, distances.tolist(), strict=False)
    }


def _rare(grounds: Grounds, rows: Sequence[int]) -> dict[int, str]:
    """The rare classes that the model sees in a row, the surest first."""
    if "class_scores" not in grounds.signals.arrays or not grounds.rare or not rows:
        return {}
    found = {}
    for row in rows:
        scores = np.asarray(grounds.signals["class_scores"][row], dtype=np.float64)
        seen = [int(c) for c in np.argsort(-scores, kind="stable") if scores[c] >= SEEN]
        names = [grounds.classes[c] for c in seen if grounds.classes[c] in grounds.rare]
        if names:
            found[row] = f"rare class: {', '.join(names)}"
    return found


RARE = 0.25
"""A class is rare below this part of an even share."""


def rare_classes(counts: Mapping[str, int], classes: Collection[str]) -> frozenset[str]:
    """The classes with less than a quarter of what each would have if all were annotated as often."""
    even = sum(counts.get(name, 0) for name in classes) / max(len(classes), 1)
    return frozenset(name for name in classes if counts.get(name, 0) < RARE * even)
