from __future__ import annotations

import pytest

from alcli.annotations import Annotation, Box
from alcli.items import LABELED, QUARANTINED, SKIPPED, UNLABELED, ImageFacts, Item, Refusal
from alcli.workspace import Workspace


@pytest.fixture
def store(tmp_path):
    workspace = Workspace.create(tmp_path / "W", {})
    yield workspace.store
    workspace.close()


def item(name: str, version: str = "1", state: str = "labeled") -> Item:
    return Item(name, name, "file:///" + name, "", state, version)


BOX = Annotation("a", (Box("cat", 1, 2, 3, 4),))


def test_items_and_annotations_come_back(store):
    items = [item("a"), item("b", state="unlabeled"), item("naïve\n'\"", state="unlabeled")]
    store.replace_items(items, [(items[0], BOX)])
    assert sorted(store.pool().items.values(), key=lambda row: row.id) == sorted(items, key=lambda row: row.id)
    assert store.annotations(["a", "b"]) == [BOX]
    assert store.annotation_versions() == {"a": "1"}


def test_what_left_the_platform_leaves_the_pool_with_all_that_hangs_on_it(store):
    store.replace_items([item("a"), item("b")], [(item("a"), BOX)])
    store.put_images([(item("a"), ImageFacts("hash", 1, 2))])
    store.replace_items([item("a", state="unlabeled")], [])
    assert list(store.pool().items) == ["a"]
    assert store.annotations(["a"]) == []
    store.replace_items([item("b")], [])
    assert store.images() == {}


def test_a_failing_transaction_changes_nothing(store):
    store.replace_items([item("a")], [])
    with pytest.raises(AttributeError):
        store.replace_items([item("b"), None], [])
    assert list(store.pool().items) == ["a"]


def test_quarantine_tells_only_what_is_new(store):
    store.replace_items([item("a"), item("b")], [])
    bad = [Refusal("a", "a", "broken", "1")]
    assert store.quarantine("reading", bad, "then", complete=False) == bad
    assert store.quarantine("reading", bad, "then", complete=False) == []
    changed = [Refusal("a", "a", "otherwise broken", "1")]
    assert store.quarantine("reading", changed, "then", complete=False) == changed
    assert store.pool().counts()["quarantined"] == 1
    assert store.pool(forgiving="reading").counts()["quarantined"] == 0


def test_a_mended_item_leaves_quarantine_by_itself(store):
    store.replace_items([item("a")], [])
    store.quarantine("image", [Refusal("a", "a", "broken", "1")], "then", complete=False)
    store.replace_items([item("a", version="2")], [])
    assert store.pool().counts()["quarantined"] == 0
    assert store.quarantine_entries() == []


def test_a_complete_stage_forgets_what_it_no_longer_refuses(store):
    orphan, other = Refusal("voc:x.xml", "x.xml", "no image", "1"), Refusal("voc:y.xml", "y.xml", "no image", "1")
    store.quarantine("listing", [orphan, other], "then", complete=True)
    store.replace_items([item("a")], [])
    assert [entry.name for entry in store.quarantine_entries()] == ["x.xml", "y.xml"]
    assert store.quarantine("listing", [other], "later", complete=True) == []
    assert [entry.name for entry in store.quarantine_entries()] == ["y.xml"]


def test_cycles_and_steps(store):
    store.start_cycle(1, "", "then")
    store.put_step(1, "train", "i", "f", "s", "{}", "now")
    store.put_step(1, "train", "j", "f", "s", "{}", "now")
    assert store.get_step(1, "train")["inputs"] == "j"
    assert store.newest_step("train") == 1
    assert store.newest_step("score") is None
    store.finish_cycle(1, "inputs", "now")
    assert [(cycle.number, cycle.finished, cycle.inputs) for cycle in store.cycles()] == [(1, "now", "inputs")]


def test_counts_are_those_of_the_pool(store):
    states = (LABELED, UNLABELED, SKIPPED)
    items = [
        Item(f"i{n}", f"n{n % 5}.jpg", "u", folder="ab"[n % 2], state=states[n % 3], version="1") for n in range(30)
    ]
    store.replace_items(items, [])
    assert store.counts() == store.pool().counts() == {LABELED: 10, UNLABELED: 10, SKIPPED: 10, QUARANTINED: 0}
    refused = [Refusal(f"i{n}", "", "why", "1") for n in (0, 1, 4)]
    store.quarantine("image", refused, "", complete=True)
    store.quarantine("encoding", [*refused[:1], Refusal("i9", "", "of another version", "0")], "", complete=True)
    assert store.counts() == store.pool().counts()
    assert store.counts()[QUARANTINED] == 3
    store.skip([items[1], items[7], items[3]], "")
    assert store.counts() == store.pool().counts()
    assert store.counts()[SKIPPED] > 10
    store.unskip([skip.item_id for skip in store.skips()])
    assert store.counts()[SKIPPED] == 10


def test_what_is_skipped_stays_so_by_name_on_another_platform(store):
    store.replace_items([Item("1", "a.jpg", "u", "night"), Item("2", "a.jpg", "u", "day")], [])
    store.skip([Item("1", "a.jpg", "u", "night")], "2026-01-01T00:00:00Z")
    assert [skip.name for skip in store.skips()] == ["a.jpg"]
    store.replace_items([Item("x", "a.jpg", "other", "night"), Item("y", "a.jpg", "other", "day")], [])
    pool = store.pool()
    assert {item.id: item.state for item in pool.items.values()} == {"x": SKIPPED, "y": UNLABELED}
