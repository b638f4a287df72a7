from __future__ import annotations

import ast
import functools
import inspect
from dataclasses import replace

import numpy as np
import pytest

from alcli import plugins
from alcli.items import Item
from alcli.selection.query import select
from alcli.signals import DESCRIPTIONS, Signals
from alcli.strategies import make_strategy

COUNT, CLASSES, WIDTH, LABELED = 30, 3, 4, 8
IDS = [f"item-{number:02}" for number in range(COUNT)]
ITEMS = {item_id: Item(item_id, item_id, "u") for item_id in IDS}
FILES = plugins.names("strategies")
WRAPPERS = [name for name in FILES if getattr(plugins.load("strategies", name), "wraps", False)]
NESTED = ["diverse:badge", "class-balanced:core-set", "cost-normalised:learned-loss", "diverse:class-balanced:entropy"]
NAMES = [name for name in FILES if name not in WRAPPERS] + [f"{name}:margin" for name in WRAPPERS] + NESTED

MATRICES = ("embedding", "class_scores", "class_uncertainty")

everyone = pytest.mark.parametrize("name", NAMES)
every_file = pytest.mark.parametrize("file", FILES)


@functools.cache
def strategy_of(name: str):
    return make_strategy(name)


def arrays(count: int, seed: int, classes: int = CLASSES) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    values = {name: rng.random(count).astype(np.float32) for name in DESCRIPTIONS}
    values["predicted_loss"] = rng.standard_normal(count).astype(np.float32)
    values["expected_objects"] = rng.integers(0, 5, count).astype(np.float32)
    values["embedding"] = (rng.standard_normal((count, WIDTH)) + 3 * rng.integers(0, 2, (count, 1))).astype(np.float16)
    scores = rng.random((count, classes)).astype(np.float32)
    values["class_scores"] = scores / np.maximum(scores.sum(axis=1, keepdims=True), rng.random((count, 1)) + 0.5)
    values["class_uncertainty"] = rng.random((count, classes)).astype(np.float32)
    return values


def make_signals(labeled: int | None = LABELED, classes: int = CLASSES, **changed: np.ndarray) -> Signals:
    known = None if labeled is None else Signals([f"known-{i}" for i in range(labeled)], arrays(labeled, 7, classes))
    return Signals(IDS, {**arrays(COUNT, 0, classes), **changed}, known)


def order(name: str, signals: Signals, budget: int = 5, seed: int = 3) -> list[str]:
    query = select(strategy_of(name), signals, ITEMS, budget, seed)
    assert not query.unscored
    assert sum(row.asked for row in query.rows) == min(budget, len(signals))
    assert [row.rank for row in query.rows] == list(range(1, len(signals) + 1))
    found = [row.item.id for row in query.rows]
    assert sorted(found) == sorted(signals.item_ids)
    return found


@everyone
def test_scores_are_finite_and_seeded(name):
    for signals in (make_signals(), make_signals(0), make_signals(None)):
        scores = strategy_of(name).score(signals, 5, np.random.default_rng(1))
        assert scores.shape == (COUNT,)
        assert scores.dtype == np.float64
        assert np.isfinite(scores).all()
        assert (scores == strategy_of(name).score(signals, 5, np.random.default_rng(1))).all()


@everyone
@pytest.mark.parametrize("labeled", [LABELED, 0, None])
def test_the_order_of_rows_does_not_matter(name, labeled):
    signals = make_signals(labeled)
    shuffled = signals.take(np.random.default_rng(2).permutation(COUNT))
    if labeled:
        shuffled = replace(shuffled, labeled=shuffled.labeled.take(np.random.default_rng(2).permutation(labeled)))
    assert order(name, signals) == order(name, shuffled)


@everyone
def test_how_the_pass_was_divided_into_parts_does_not_matter(name):
    whole = make_signals()
    parts = [whole.take(np.arange(start, min(start + 7, COUNT))) for start in range(0, COUNT, 7)]
    joined = {key: np.concatenate([part[key] for part in parts]) for key in whole.arrays}
    assert order(name, whole) == order(name, Signals(IDS, joined, whole.labeled))


@everyone
def test_memory_maps_give_the_same(name, tmp_path):
    whole = make_signals()
    for key in MATRICES:
        np.save(tmp_path / f"{key}.npy", whole[key])
    mapped = {key: np.load(tmp_path / f"{key}.npy", mmap_mode="r") for key in MATRICES}
    assert order(name, whole) == order(name, Signals(IDS, {**whole.arrays, **mapped}, whole.labeled))


@everyone
@pytest.mark.parametrize("budget", [0, 1, COUNT, 3 * COUNT])
def test_any_budget_will_do(name, budget):
    order(name, make_signals(), budget)
    order(name, make_signals(None), budget)


@everyone
def test_it_ranks_items_that_are_all_alike(name):
    alike = {key: np.repeat(array[:1], COUNT, axis=0) for key, array in arrays(COUNT, 0).items()}
    zeros = {key: np.zeros_like(array) for key, array in arrays(COUNT, 0).items()}
    for changed in (alike, zeros):
        for labeled in (LABELED, 0):
            signals = make_signals(labeled, **changed)
            assert order(name, signals) == order(name, signals.take(np.arange(COUNT)[::-1]))


@everyone
def test_ties_go_by_id(name):
    """Every item twice: of two equal ones that nobody asked for, the lower id stands first."""
    doubled = {key: np.repeat(array[: COUNT // 2], 2, axis=0) for key, array in arrays(COUNT, 0).items()}
    signals = make_signals(**doubled)
    shuffled = signals.take(np.random.default_rng(2).permutation(COUNT))
    assert order(name, signals) == order(name, shuffled)
    if name != "random":
        first = order(name, signals, 1)[0]
        assert IDS.index(first) % 2 == 0


@everyone
def test_one_class_and_one_item_and_none(name):
    order(name, make_signals(classes=1))
    order(name, make_signals(classes=1, class_scores=np.ones((COUNT, 1), np.float32)))
    for rows in (np.arange(1), np.arange(2), np.arange(0)):
        for labeled in (LABELED, 0, None):
            order(name, make_signals(labeled).take(rows))


@everyone
def test_a_pool_without_items_may_have_no_columns(name):
    """What scoring hands over when the pool is empty."""
    empty = Signals(
        [], {key: np.zeros(0) for key in DESCRIPTIONS}, Signals([], {key: np.zeros(0) for key in DESCRIPTIONS})
    )
    assert len(strategy_of(name).score(empty, 5, np.random.default_rng(0))) == 0


@everyone
def test_extreme_values_are_ranked(name):
    signals = make_signals()
    embedding = signals["embedding"].copy()
    embedding[0], embedding[1] = 65504, -65504
    order(name, make_signals(embedding=embedding))
    order(name, make_signals(embedding=(embedding * np.float16(1e-4))))


@everyone
def test_rows_that_are_not_finite_are_named_and_leave_the_rest_as_it_is(name):
    strategy = strategy_of(name)
    signals = make_signals()
    asked = sorted(strategy.needs)
    signals = Signals(IDS, {key: signals[key].copy() for key in asked}, signals.labeled)
    for key in asked:
        signals.arrays[key][4] = np.nan
    query = select(strategy, signals, ITEMS, 5, seed=3)
    rest = select(strategy, signals.take(np.delete(np.arange(COUNT), 4)) if asked else signals, ITEMS, 5, seed=3)
    assert [row.id for row in query.unscored] == (["item-04"] if asked else [])
    assert [row.item.id for row in query.rows] == [row.item.id for row in rest.rows]


@everyone
def test_it_looks_only_at_what_it_names(name):
    strategy, signals = strategy_of(name), make_signals()
    needs_labeled = getattr(strategy, "needs_labeled", frozenset())
    assert strategy.needs <= set(DESCRIPTIONS)
    assert needs_labeled <= set(DESCRIPTIONS)
    known = Signals(signals.labeled.item_ids, {key: signals.labeled[key] for key in needs_labeled})
    only = Signals(IDS, {key: signals[key] for key in strategy.needs}, known if needs_labeled else None)
    assert order(name, only) == order(name, signals)


@every_file
def test_its_docstring_names_needs_score_cost_and_source(file):
    text = inspect.getdoc(plugins.load("strategies", file))
    for word in ("Needs:", "Score:", "Cost:", "Source:"):
        assert word in text


@every_file
def test_it_is_numpy_only(file):
    source = inspect.getsource(inspect.getmodule(plugins.load("strategies", file)))
    imported = {
        alias.name.split(".")[0]
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Import)
        for alias in node.names
    }
    assert imported <= {"numpy"}
