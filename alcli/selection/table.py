"""Rank names by embeddings, probabilities or signals of your own: the selection without a workspace, as a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from alcli.config import SelectionOptions
from alcli.errors import DataError, UsageError
from alcli.items import Item
from alcli.selection.query import select
from alcli.selection.reasons import Grounds, Reasoned, add_reasons
from alcli.signals import DESCRIPTIONS, Signals
from alcli.strategies import QueryStrategy, make_strategy, needs_labeled
from alcli.system.text import did_you_mean, quantity

if TYPE_CHECKING:
    import pandas as pd

AUTO, WITHOUT_EMBEDDINGS, WITHOUT_PROBABILITIES = "auto", "margin", "facility-location"
"""The default strategy, and what takes its place where its input is missing."""
SUM_TOLERANCE = 1e-3
FROM_PROBABILITIES = frozenset(
    {"entropy", "margin", "least_confidence", "class_scores", "class_uncertainty", "expected_objects"}
)


def rank(
    *,
    names: Sequence[str],
    embeddings: ArrayLike | None = None,
    probabilities: ArrayLike | None = None,
    signals: Mapping[str, ArrayLike] | None = None,
    labeled: Iterable[str] = (),
    budget: int | None = None,
    strategy: str = AUTO,
    seed: int = 0,
) -> pd.DataFrame:
    """Rank the unlabeled names; the first ``budget`` rows are the ones to annotate.

    Args:
        names: unique names of n images, labeled and unlabeled.
        embeddings: (n, d) features, finite.
        probabilities: (n, classes) of one class per image, rows sum to 1.
        signals: arrays (n,) or (n, k) by name, instead of probabilities or in addition; ``alcli list strategies -v``
            says which one each strategy needs.
        labeled: those of the names that are annotated already; they are not ranked.
        budget: how many images are to be annotated; default: a tenth of the unlabeled ones, from 10 to 100.
        strategy: a name from ``alcli list strategies``, also ``outer:inner``. ``auto`` needs embeddings and
            probabilities; without probabilities it is ``facility-location``, without embeddings ``margin``.
        seed: of all random numbers; the same input gives the same table, in whatever order the names come.

    Returns:
        A table with the columns ``name``, ``rank`` (from 1), ``score`` (higher: sooner) and ``reason``, best first;
        ``attrs["shared_reasons"]`` is what more than half of those to be annotated have in common.

    Raises:
        DataError: an array that does not fit the names or is not finite, probabilities that are none, a name that
            occurs twice or is not known.
        UsageError: an unknown strategy, one whose input is missing, or a budget beyond the unlabeled images.
    """
    known = _check_names(names)
    arrays = _check_arrays(known, embeddings, probabilities, signals)
    is_labeled = _mask(known, labeled)
    budget = _check_budget(budget, int((~is_labeled).sum()))
    name = _suited(strategy, arrays)
    chosen = make_strategy(name)
    _check_needs(name, chosen.needs | needs_labeled(chosen), arrays)
    pool = _split(Signals(known, arrays), is_labeled, chosen)
    items = {each: Item(each, each, "") for each in known}
    query = select(chosen, pool.only(chosen.needs), items, budget, seed)
    count = pool["class_scores"].shape[1] if "class_scores" in pool.arrays else 0
    classes = [f"class {number}" for number in range(count)]
    return _table(add_reasons(query.rows, Grounds(frozenset(chosen.needs), pool, items, classes)))


def _split(everything: Signals, is_labeled: np.ndarray, strategy: QueryStrategy) -> Signals:
    """The pool's signals that the strategy and the reasons read, with those of the labeled images that it reads."""
    theirs = needs_labeled(strategy)
    labeled = everything.only(theirs).take(is_labeled) if theirs else None
    pool = everything.only(strategy.needs | theirs | _telling(everything.arrays)).take(~is_labeled)
    return Signals(pool.item_ids, pool.arrays, labeled)


def _table(reasoned: Reasoned) -> pd.DataFrame:
    import pandas as pd

    rows = reasoned.rows
    table = pd.DataFrame(
        {
            "name": [row.item.name for row in rows],
            "rank": [row.rank for row in rows],
            "score": [row.score for row in rows],
            "reason": [row.reason for row in rows],
        }
    )
    table.attrs["shared_reasons"] = list(reasoned.shared)
    return table


def _check_names(names: Sequence[str]) -> list[str]:
    known = list(names)
    for number, name in enumerate(known):
        if not isinstance(name, str) or not name:
            raise DataError(f"names[{number}] is {name!r}, expected a text.", do="Give each image a name: names=[…].")
    if len(set(known)) < len(known):
        name, count = Counter(known).most_common(1)[0]
        raise DataError(f"names: {name!r} occurs {count} times.", do="Give every image its own name.")
    return [str(name) for name in known]


def _check_arrays(
    names: Sequence[str],
    embeddings: ArrayLike | None,
    probabilities: ArrayLike | None,
    signals: Mapping[str, ArrayLike] | None,
) -> dict[str, np.ndarray]:
    """Every signal by name, one row per name."""
    arrays: dict[str, np.ndarray] = {}
    if embeddings is not None:
        arrays["embedding"] = _array("embeddings", embeddings, names, (2,))
    if probabilities is not None:
        arrays |= _of_probabilities(_check_probabilities(_array("probabilities", probabilities, names, (2,)), names))
    for name, values in (signals or {}).items():
        if name not in DESCRIPTIONS:
            raise UsageError(f"signals: there is no signal {name!r}.", do=did_you_mean(name, list(DESCRIPTIONS)))
        if name in arrays:
            source = "embeddings" if name == "embedding" else "probabilities"
            raise UsageError(f"The signal {name!r} is given twice, also by {source}.", do="Give one of them.")
        arrays[name] = _array(f"signals[{name!r}]", values, names, (1, 2))
    return arrays


def _array(what: str, values: ArrayLike, names: Sequence[str], dimensions: tuple[int, ...]) -> np.ndarray:
    try:
        array = np.asarray(values)
        if array.dtype not in (np.float16, np.float32):
            array = array.astype(np.float64)
    except (TypeError, ValueError):
        raise DataError(f"{what} is not an array of numbers.") from None
    if array.ndim not in dimensions:
        shape = "(n, columns)" if dimensions == (2,) else "(n,) or (n, columns)"
        raise DataError(f"{what} has the shape {array.shape}, expected {shape}.")
    if len(array) != len(names):
        raise DataError(f"{what} has {quantity(len(array), 'row')} for {quantity(len(names), 'name')}.")
    finite = np.isfinite(array).all(axis=tuple(range(1, array.ndim)))
    if not finite.all():
        broken = [names[row] for row in np.flatnonzero(~finite)[:3].tolist()]
        rows = quantity(int((~finite).sum()), "row")
        raise DataError(f"{what}: {rows} with NaN or infinity, such as {', '.join(broken)}.", do="Leave them out.")
    return array


def _check_probabilities(array: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """(n, classes) float64; raises DataError for logits, and for rows that do not sum to 1."""
    array = array.astype(np.float64)
    outside = ((array < -SUM_TOLERANCE) | (array > 1 + SUM_TOLERANCE)).any(axis=1)
    if outside.any():
        raise DataError(
            f"probabilities: {names[int(outside.argmax())]!r} has values outside [0, 1]. Are these logits?",
            do="Apply a softmax first: scipy.special.softmax(logits, axis=1)",
        )
    sums = array.sum(axis=1)
    off = np.abs(sums - 1) > SUM_TOLERANCE
    if off.any():
        row = int(off.argmax())
        raise DataError(
            f"probabilities: the row of {names[row]!r} sums to {sums[row]:.4g}, expected 1.",
            do="Of logits, apply a softmax. For several labels per image, give signals (margin, class_uncertainty, …).",
        )
    return array.clip(0, 1)


def _of_probabilities(probabilities: np.ndarray) -> dict[str, np.ndarray]:
    """The signals of one class per image, as the task classification computes them."""
    logarithms = np.log(probabilities, out=np.zeros_like(probabilities), where=probabilities > 0)
    entropy = -(probabilities * logarithms).sum(axis=1)
    classes = probabilities.shape[1]
    best = np.partition(probabilities, classes - 2, axis=1)[:, -2:] if classes > 1 else np.zeros((len(entropy), 2))
    margin = 1 - (best[:, 1] - best[:, 0]) if classes > 1 else np.zeros(len(entropy))
    return {
        "entropy": entropy,
        "margin": margin,
        "least_confidence": 1 - probabilities.max(axis=1, initial=0),
        "class_scores": probabilities,
        "class_uncertainty": entropy[:, None] * probabilities,
        "expected_objects": np.ones(len(entropy)),
    }


def _mask(names: Sequence[str], labeled: Iterable[str]) -> np.ndarray:
    """(n,) bool: which names are labeled; raises DataError for one that is not among the names."""
    wanted = list(labeled)
    if strange := [each for each in wanted if not isinstance(each, str)]:
        raise DataError(f"labeled: {strange[0]!r} is not a name.", do="Give names, not a mask or positions.")
    if unknown := sorted(set(wanted) - set(names)):
        near = did_you_mean(unknown[0], names) if len(names) < 5000 else ""
        raise DataError(
            f"labeled: {quantity(len(unknown), 'name')} not among the names, such as {unknown[0]!r}.",
            do=near if near.startswith("Did") else "names must hold the labeled images, too, with their embeddings.",
        )
    among = set(wanted)
    return np.array([name in among for name in names], dtype=bool)


def _check_budget(budget: Any, pool: int) -> int:
    if not pool:
        raise DataError("Every image is labeled; there is nothing to rank.")
    if budget is None:
        return min(SelectionOptions().budget_of(pool), pool)
    if isinstance(budget, bool) or not isinstance(budget, (int, np.integer)) or budget < 1:
        raise UsageError(f"budget is {budget!r}, expected a whole number from 1.", do="Leave it out for a tenth.")
    if budget > pool:
        raise UsageError(f"The budget {budget} exceeds the {quantity(pool, 'unlabeled image')}.", do="Ask for fewer.")
    return int(budget)


def _suited(strategy: str, arrays: Mapping[str, np.ndarray]) -> str:
    if not arrays:
        raise UsageError("There is nothing to rank by.", do="Give embeddings, probabilities or signals.")
    if strategy != AUTO or {"embedding", "margin", "class_uncertainty", "expected_objects"} <= arrays.keys():
        return strategy
    if "embedding" in arrays and "margin" not in arrays:
        return WITHOUT_PROBABILITIES
    return WITHOUT_EMBEDDINGS if "margin" in arrays and "embedding" not in arrays else strategy


def _check_needs(name: str, needs: frozenset[str], arrays: Mapping[str, np.ndarray]) -> None:
    missing = sorted(needs - arrays.keys())
    if missing:
        sources = {
            "embeddings"
            if each == "embedding"
            else "probabilities"
            if each in FROM_PROBABILITIES
            else f"signals={{{each!r}: …}}"
            for each in missing
        }
        raise UsageError(
            f"The strategy {name} needs {', '.join(missing)}.", do=f"Give {' and '.join(sorted(sources))}."
        )


def _telling(arrays: Mapping[str, np.ndarray]) -> frozenset[str]:
    """What makes reasons plainer where it is there anyway."""
    return frozenset({"class_scores", "margin"}) & arrays.keys()
