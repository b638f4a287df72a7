from __future__ import annotations

import copy
import dataclasses
import pickle

import pytest

from alcli.errors import DataError
from alcli.items import Item, Pool, QueryRow, QueuedItem, Receipt, fingerprint
from alcli.system.hashing import sha256_of_text


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda: Item("", "n", "u"), "needs an id"),
        (lambda: Item("i", "n", "u", state="done"), "unknown state"),
    ],
)
def test_invalid_items_are_refused(make, why):
    with pytest.raises(DataError, match=why):
        make()


def test_quarantine_overrides_the_platforms_state():
    items = {name: Item(name, name, "u", state="labeled") for name in "abc"}
    pool = Pool(items, frozenset({"b"}))
    assert [item.id for item in pool.in_state("labeled")] == ["a", "c"]
    assert pool.counts() == {"labeled": 2, "unlabeled": 0, "skipped": 0, "quarantined": 1}


@pytest.mark.parametrize("order", ["abcd", "dcba", "bdac"])
def test_items_of_a_state_come_in_the_order_of_their_ids(order):
    items = {name: Item(name, name, "u", state="labeled" if name in "abd" else "unlabeled") for name in order}
    pool = Pool(items, frozenset({"b"}))
    assert [item.id for item in pool.in_state("labeled")] == ["a", "d"]
    assert [item.id for item in pool.in_state("quarantined")] == ["b"]
    assert [item.id for item in pool.in_state_of_platform("labeled")] == ["a", "b", "d"]


@pytest.mark.parametrize(
    "value",
    [
        Item("i", "n", "u", "f", "labeled", "1", "7"),
        QueryRow(1, Item("i", "n", "u"), 0.5, True, "al", 0.9, "why"),
        QueuedItem(1, "i", "n", True),
        Receipt("i", 1, False, "why"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_records_can_be_pickled_copied_and_replaced(value):
    assert pickle.loads(pickle.dumps(value)) == copy.copy(value) == copy.deepcopy(value) == dataclasses.replace(value)
    assert hash(pickle.loads(pickle.dumps(value))) == hash(value)
    first = dataclasses.fields(value)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(value, first, None)


def test_a_fingerprint_is_what_it_always_was():
    items = [Item("i", "n", "u", version="v"), Item("ü", "n", "u", version="")]
    assert fingerprint(items) == sha256_of_text("i", "v", "ü", "")
    assert fingerprint(items) == "e771110804e719e5cf9c89094906248284352f65b966d04daca7f66f04ac1439"
