"""What a pull writes to the database, and what is read of a large pool without making its items."""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing
from dataclasses import replace

import pytest

from alcli.annotations import Annotation, Box
from alcli.errors import DataError
from alcli.items import LABELED, SKIPPED, UNLABELED, ImageFacts, Item, Receipt, Refusal
from alcli.workspace import Workspace


@pytest.fixture
def store(tmp_path):
    workspace = Workspace.create(tmp_path / "W", {})
    yield workspace.store
    workspace.close()


def item(name: str, state: str = UNLABELED) -> Item:
    return Item(name, f"{name}.jpg", f"file:///{name}.jpg", "f", state, "1", "7")


POOL = [
    item(name, LABELED if name in "ac" else UNLABELED) for name in ("c", "a", "b", "Z", "ä", "\U0001f600", "\uffee")
]
BOX = Annotation("a", (Box("cat", 1, 2, 3, 4),))
ONE_CHANGE = {"name": "n", "uri": "u", "folder": "g", "state": SKIPPED, "version": "2", "assignees": "8"}


def written(store, change) -> int:
    """Rows that the change has written."""
    before = store._connection.total_changes
    change()
    return store._connection.total_changes - before


def test_an_unchanged_pool_is_recognized_in_any_order(store):
    assert store.difference(POOL) and not store.difference([])
    store.replace_items(POOL, [])
    assert not store.difference(POOL) and not store.difference(POOL[::-1])
    assert store.difference(POOL[1:]) and store.difference([*POOL, item("new")])
    assert store.difference([*POOL[1:], POOL[1]])


def test_the_pool_is_read_again_only_after_its_items_or_skips_have_changed(store):
    store.replace_items(POOL, [])
    items = store.pool().items
    store.put_images([(POOL[0], ImageFacts("0" * 64, 8, 8))])
    store.quarantine("image", [Refusal("b", "b.jpg", "broken", "1")], "now", complete=True)
    assert store.pool().items is items
    store.skip([POOL[3]], "now")
    assert store.pool().items["Z"].state == SKIPPED
    store.unskip(["Z"])
    assert store.pool().items == items
    store.update_items([replace(POOL[1], assignees="9")])
    assert store.pool().items["a"].assignees == "9"
    store.replace_items(POOL[1:], [])
    assert "c" not in store.pool().items


@pytest.mark.parametrize("field", ONE_CHANGE)
def test_any_change_of_an_item_is_noticed_and_only_that_row_is_written(store, field):
    store.replace_items(POOL, [])
    changed = [*POOL[:3], replace(POOL[3], **{field: ONE_CHANGE[field]}), *POOL[4:]]
    assert store.difference(changed)
    assert written(store, lambda: store.replace_items(changed, [])) == 1
    assert not store.difference(changed) and store.pool().items == {each.id: each for each in changed}


def test_the_difference_is_that_of_the_two_sets(store):
    ids = ["a", "a/b", "b", "Z", "é", "\uffee", "\U0001f600", "0"]
    draw = random.Random(7)
    for _ in range(60):
        before = [item(name) for name in draw.sample(ids, draw.randrange(len(ids) + 1))]
        now = [item(name, draw.choice((LABELED, UNLABELED))) for name in draw.sample(ids, draw.randrange(len(ids) + 1))]
        store.replace_items(before, [])
        difference = store.difference(now)
        assert set(difference.changed) == set(now) - set(before)
        assert difference.new == len({each.id for each in now} - {each.id for each in before})
        assert list(difference.gone) == sorted({each.id for each in before} - {each.id for each in now})
        assert difference.known == len(before)
        assert bool(difference) == (set(before) != set(now))
        store.replace_items(now, [], difference)
        assert store.pool().items == {each.id: each for each in now}
        assert set(store.labeled().values()) == {each for each in now if each.state == LABELED}


def test_an_id_listed_twice_is_a_difference_even_where_both_are_as_stored(store):
    store.replace_items(POOL, [])
    difference = store.difference([*POOL, POOL[2]])
    assert difference.changed == [POOL[2]] and (difference.new, difference.gone) == (0, [])
    with pytest.raises(DataError, match="lists 'b' twice"):
        store.replace_items([*POOL, POOL[2]], [], difference)


def test_only_what_differs_is_written(store):
    assert written(store, lambda: store.replace_items(POOL, [])) == len(POOL)
    assert written(store, lambda: store.replace_items(POOL, [])) == 0
    assert written(store, lambda: store.replace_items([*POOL[1:], item("new")], [])) == 2


def test_the_order_of_a_pool_does_not_depend_on_its_history(store):
    store.replace_items(POOL[:3], [])
    store.replace_items(POOL, [])
    assert list(store.pool().items) == sorted(each.id for each in POOL)


def test_an_id_that_is_listed_twice_is_refused_and_changes_nothing(store):
    store.replace_items(POOL, [])
    with pytest.raises(DataError, match="lists 'a' twice"):
        store.replace_items([item("new"), item("a"), item("a", LABELED)], [])
    assert not store.difference(POOL)


def test_a_pool_that_was_read_is_read_again_after_a_change_by_anybody(store, tmp_path):
    store.replace_items(POOL, [])
    assert store.pool().items is store.pool().items
    with closing(sqlite3.connect(tmp_path / "W" / "alcli.db")) as other:
        other.execute("DELETE FROM items WHERE id <> 'c'")
        other.commit()
    assert set(store.pool().items) == {"c"}
    store.skip([item("b")], "now")
    store.replace_items(POOL, [])
    assert store.pool().items["b"].state == SKIPPED


def test_a_listing_says_what_the_pool_says(store):
    store.replace_items(POOL, [(POOL[1], BOX)])
    store.quarantine("image", [Refusal("Z", "Z.jpg", "why", "1"), Refusal("a", "a.jpg", "why", "0")], "", complete=True)
    for skips in ([], [item("b"), item("Z"), item("c")]):
        store.skip(skips, "now")
        pool = store.pool()
        expected = [(each.name, pool.state(each), each.folder) for _, each in sorted(pool.items.items())]
        assert list(store.listing()) == expected
        for state in (LABELED, UNLABELED):
            items = pool.in_state_of_platform(state)
            assert list(store.versions(state)) == [(each.id, each.version) for each in items]
    assert list(store.labels_as_stored()) == [("a", BOX.to_json())]


def test_a_receipt_is_written_once_and_the_last_answer_counts(store):
    answers = [Receipt("b", 2, True), Receipt("a", 1, False, "busy"), Receipt("a", 1, True)]
    store.put_receipts(1, answers)
    assert written(store, lambda: store.put_receipts(1, [Receipt("b", 2, True), Receipt("a", 1, True)])) == 0
    assert written(store, lambda: store.put_receipts(1, [Receipt("b", 3, True)])) == 1
    rows = store._connection.execute("SELECT cycle, item_id, position, accepted, reason FROM receipts ORDER BY item_id")
    assert [tuple(row) for row in rows] == [(1, "a", 1, 1, ""), (1, "b", 3, 1, "")]
    assert (store.count_receipts(1), store.count_receipts(2)) == (2, 0)
