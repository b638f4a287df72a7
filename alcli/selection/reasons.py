"""Why an item is asked for, in plain words: from the signals that its strategy used, and no others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from alcli.items import Item, QueryRow
from alcli.selection._surroundings import far_from_labeled, stands_for
from alcli.signals import Signals
from alcli.system.text import quantity
from alcli.vectors.rows import evenly_spaced

PHRASES = {
    "predicted_loss": ("a larger predicted loss than", "a smaller predicted loss than"),
    "entropy": ("less certain (entropy) than", "more certain (entropy) than"),
    "margin": ("less sure than for", "surer than for"),
    "least_confidence": ("less confident than for", "more confident than for"),
    "mutual_information": ("thinned networks disagree more than on", "thinned networks agree more than on"),
    "output_discrepancy": ("changed more since the last model than", "changed less since the last model than"),
}
"""How each number compares with the pool's, high and low: "less sure than for 84 % of the images"."""
TELLING = frozenset({"class_scores", "margin", "tie"})
"""Signals that name classes or boxes; they are free where a strategy uses the model's answers anyway."""
OF_ANSWERS = frozenset({"entropy", "margin", "least_confidence", "mutual_information", "class_scores"})
MOST_CLASSES = 100
"""With more classes, their scores would take more room than all other signals together."""
ON_BOX = "? (box around"
WORTH = 25
"""Percent from the top of the pool: a higher number is named even where there are better reasons."""
TIED = 0.7
ROUNDING = 0.02
"""Of scores computed in bfloat16."""
SEEN = 0.25
"""``class_scores`` from which the model sees a class, unless the task says otherwise."""
COMPARED = 2000
FEW = 4
"""Images asked for, below which a reason may be the same for all."""


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
        rare: the classes that few annotated images show, with the number of these images.
        seen_from: ``class_scores`` from which the model sees a class.
    """

    needs: frozenset[str]
    signals: Signals
    items: Mapping[str, Item]
    classes: Sequence[str]
    rare: Mapping[str, int] = field(default_factory=dict)
    seen_from: float = SEEN


@dataclass(frozen=True)
class Reasoned:
    """Rows with reasons, and what more than half of those asked for have in common, which no row repeats."""

    rows: Sequence[QueryRow]
    shared: Sequence[str]


def add_reasons(rows: Sequence[QueryRow], grounds: Grounds) -> Reasoned:
    """Say why each row is where it is; a row that has a reason, such as one that chance chose, keeps it.

    Every row is told how high its signals lie in the pool. Rows asked for also get tied classes, rare classes, how many
    images they stand for and whether they are unlike all labeled ones, where the strategy used such signals.
    """
    index = {item_id: position for position, item_id in enumerate(grounds.signals.item_ids)}
    tops = _shares_above(grounds)
    asked = [index[row.item.id] for row in rows if row.asked and not row.reason]
    causes = _causes(grounds, asked)
    shared = _shared(causes, len(asked))
    causes = {position: [text for text in texts if text not in shared] for position, texts in causes.items()}
    # Without numbers, only images asked for have a reason.
    told = [row for row in rows if not row.reason and (tops or row.asked)]
    reasons = {row.item.id: _reason(causes.get(index[row.item.id], []), index[row.item.id], tops) for row in told}
    numbers = _shared({index[row.item.id]: [reasons[row.item.id]] for row in told if row.asked}, len(asked))
    reasons = {item_id: reason for item_id, reason in reasons.items() if reason and reason not in numbers}
    named = [_with_reason(row, reasons[row.item.id]) if row.item.id in reasons else row for row in rows]
    return Reasoned(named, [*shared, *numbers])


def _with_reason(row: QueryRow, reason: str) -> QueryRow:
    return QueryRow(row.rank, row.item, row.score, row.asked, row.source, row.percentile, reason)


def _causes(grounds: Grounds, positions: Sequence[int]) -> dict[int, list[str]]:
    """All that speaks for each item, apart from numbers; the most telling first."""
    kinds = [_ties(grounds, positions), _rare_class_reasons(grounds, positions)]
    if "embedding" in grounds.needs and positions:
        signals = grounds.signals
        names = [grounds.items[item_id].name for item_id in signals.labeled.item_ids] if signals.labeled else []
        kinds += [stands_for(signals, positions), far_from_labeled(signals, positions, names)]
    return {
        position: [kind[position] for kind in kinds if position in kind]
        for position in positions
        if any(position in kind for kind in kinds)
    }


def _shared(causes: Mapping[int, Sequence[str]], count: int) -> list[str]:
    """What more than half of the items asked for have in common: it tells none of them apart."""
    if count < FEW:
        return []
    counts = Counter(text for texts in causes.values() for text in set(texts) if text)
    return [text for text, times in counts.items() if 2 * times > count]


def _reason(causes: Sequence[str], position: int, tops: Mapping[str, np.ndarray]) -> str:
    tops = {name: values for name, values in tops.items() if not _is_implied(name, causes)}
    # A strategy that looks at groups also asks for images that no number speaks for: there it is no reason.
    names = [name for name in tops if tops[name][position] <= WORTH] if causes else list(tops)
    numbers = [_in_words(*PHRASES[name], tops[name][position], len(tops[name])) for name in names]
    return "; ".join([*causes, *numbers])


KINDS = (
    ("?", "two classes"),
    ("rare class", "rare class"),
    ("unlike all", "unlike all annotated"),
    ("stands for", "stands for others"),
    ("at random", "drawn at random"),
    ("re-check", "look again"),
    ("near-duplicate", "near-duplicate"),
)


def kind_of_reason(reason: str) -> str:
    """A reason in two or three words, to sort images by: "two classes", "rare class"; empty without a reason."""
    return next((kind for part, kind in KINDS if part in reason), "how sure the model is" if reason else "")


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


def _ties(grounds: Grounds, positions: Sequence[int]) -> dict[int, str]:
    """Find items with two classes that are nearly equally likely, on a box or for the whole image.

    A model answers with one class for the whole image if the two largest class scores make up the margin everywhere in
    the pool; over boxes, joints or pixels they do not.
    """
    if not positions or len(grounds.classes) < 2:
        return {}
    if "tie" in grounds.signals.arrays:
        return _ties_on_boxes(grounds, positions)
    if not _is_one_answer(grounds.signals):
        return {}
    order, best, margins = _two_best(grounds.signals.arrays, positions)
    ties = zip(positions, order.tolist(), best.tolist(), margins.tolist(), strict=True)
    return {
        position: f"{_tie_in_words(grounds.classes, pair, scores)}?"
        for position, pair, scores, margin in ties
        if margin >= TIED
    }


def _ties_on_boxes(grounds: Grounds, positions: Sequence[int]) -> dict[int, str]:
    """Name the box by where it is: boxes in doubt score too low to be drawn and numbered."""
    ties = {}
    for position in positions:
        tie = np.asarray(grounds.signals["tie"][position], dtype=np.float64)
        first, second, margin, across, down, score = tie.tolist()
        if margin >= TIED:
            where = f"{ON_BOX} {100 * across:.0f} % across, {100 * down:.0f} % down)"
            pair, scores = (int(first), int(second)), (score, score - (1 - margin))
            ties[position] = f"{_tie_in_words(grounds.classes, pair, scores)}{where}"
    return ties


def _tie_in_words(names: Sequence[str], pair: Sequence[int], scores: Sequence[float]) -> str:
    """Two classes with their probabilities: ``cat (48 %) or dog (45 %)``."""
    return " or ".join(
        f"{names[index]} ({100 * max(score, 0):.0f} %)" for index, score in zip(pair, scores, strict=True)
    )


def _two_best(arrays: Mapping[str, np.ndarray], positions: Sequence[int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The two likeliest classes (k, 2) of k items, their scores (k, 2), and the margin (k,)."""
    scores = np.asarray(arrays["class_scores"][list(positions)], dtype=np.float64)  # (k, classes)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :2]
    best = np.take_along_axis(scores, order, axis=1)
    return order, best, np.asarray(arrays["margin"][list(positions)], dtype=np.float64)


def _is_one_answer(signals: Signals) -> bool:
    """Whether the model answers with one class for the whole image."""
    arrays = signals.arrays
    if not arrays.keys() >= {"class_scores", "margin"} or arrays["class_scores"].shape[1] < 2:
        return False
    _, best, margins = _two_best(arrays, evenly_spaced(range(len(signals)), COMPARED))
    gaps = best[:, 0] - best[:, 1]
    known = np.isfinite(gaps) & np.isfinite(margins)
    return bool(known.any() and (np.abs(1 - gaps - margins)[known] < ROUNDING).all())


def classes_seen(signals: Signals, positions: Sequence[int], seen_from: float = SEEN) -> dict[int, list[int]]:
    """The classes that the model sees on each item, the surest first: the likeliest, or all with a score high enough.

    Empty where the model does not say what it sees.
    """
    if "class_scores" not in signals.arrays or not positions:
        return {}
    one_answer = _is_one_answer(signals)
    seen = {}
    for position in positions:
        scores = np.nan_to_num(np.asarray(signals["class_scores"][position], dtype=np.float64))  # (classes,)
        order = np.argsort(-scores, kind="stable")
        seen[position] = [int(c) for c in (order[:1] if one_answer else order) if one_answer or scores[c] >= seen_from]
    return seen


def _rare_class_reasons(grounds: Grounds, positions: Sequence[int]) -> dict[int, str]:
    """The rare classes that the model sees on an item, the surest first."""
    if not grounds.rare:
        return {}
    reasons = {}
    for position, seen in classes_seen(grounds.signals, positions, grounds.seen_from).items():
        names = [grounds.classes[c] for c in seen if grounds.classes[c] in grounds.rare]
        if names:
            parts = (f"{name} (in {quantity(grounds.rare[name], 'annotated image')})" for name in names)
            reasons[position] = f"rare class: {', '.join(parts)}"
    return reasons


RARE = 0.25
"""A class is rare in fewer images than this part of the mean over classes."""


def rare_classes(image_counts: Mapping[str, int], classes: Sequence[str]) -> dict[str, int]:
    """The classes in fewer than a quarter of the annotated images that a class is in on average, with their number."""
    mean = sum(image_counts.get(name, 0) for name in classes) / max(len(classes), 1)
    return {name: image_counts.get(name, 0) for name in classes if image_counts.get(name, 0) < RARE * mean}
