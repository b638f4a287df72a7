from __future__ import annotations

import ast
import inspect

import numpy as np
import pytest

from alcli import plugins
from alcli.items import Item
from alcli.selection import select
from alcli.signals import DESCRIPTIONS, Signals

IDS = [f"item-{number}" for number in range(12)]
everyone = pytest.mark.parametrize("name", plugins.names("strategies"))


def make_signals(ids: list[str] = IDS, equal: bool = False) -> Signals:
    rng = np.random.default_rng(0)
    values = {name: rng.random(len(IDS)) * (not equal) for name in DESCRIPTIONS}
    rows = [IDS.index(item_id) for item_id in ids]
    return Signals(ids, {name: array[rows] for name, array in values.items()})


def strategy_of(name: str):
    return plugins.load("strategies", name)()


@everyone
def test_scores_are_finite_and_seeded(name):
    signals = make_signals()
    scores = strategy_of(name).score(signals, 5, np.random.default_rng(1))
    assert scores.shape == (12,)
    assert scores.dtype == np.float64
    assert np.isfinite(scores).all()
    assert (scores == strategy_of(name).score(signals, 5, np.random.default_rng(1))).all()


@everyone
@pytest.mark.parametrize("equal", [False, True])
def test_the_order_of_rows_does_not_matter(name, equal):
    items = {item_id: Item(item_id, item_id, "u") for item_id in IDS}
    shuffled = [IDS[row] for row in np.random.default_rng(2).permutation(12)]
    first = select(strategy_of(name), make_signals(equal=equal), items, 5, seed=3)
    second = select(strategy_of(name), make_signals(shuffled, equal), items, 5, seed=3)
    assert [row.item.id for row in first.rows] == [row.item.id for row in second.rows]
    assert sum(row.asked for row in first.rows) == 5
    assert sorted(row.item.id for row in first.rows) == sorted(IDS)


@everyone
def test_it_asks_only_for_signals_that_exist_and_works_without_items(name):
    strategy = strategy_of(name)
    assert strategy.needs <= set(DESCRIPTIONS)
    assert len(strategy.score(make_signals([]), 5, np.random.default_rng(0))) == 0


@everyone
def test_its_docstring_names_needs_score_cost_and_source(name):
    text = inspect.getdoc(plugins.load("strategies", name))
    for word in ("Needs:", "Score:", "Cost:", "Source:"):
        assert word in text


@everyone
def test_it_is_numpy_only(name):
    source = inspect.getsource(inspect.getmodule(plugins.load("strategies", name)))
    imported = {
        alias.name.split(".")[0]
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Import)
        for alias in node.names
    }
    assert imported <= {"numpy"}
