from __future__ import annotations

import pytest

from alcli.errors import DataError
from alcli.items import Item, Pool


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
