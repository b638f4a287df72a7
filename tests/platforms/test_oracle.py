from __future__ import annotations

from pathlib import Path

import pytest

from alcli.annotations import Annotation, Box
from alcli.errors import DataError, UsageError
from alcli.items import LABELED, UNLABELED, Item, QueryRow, Refusal
from alcli.platforms.oracle import Oracle, write_answers


@pytest.fixture
def oracle(tmp_path: Path) -> Oracle:
    rows = [Item(f"folder/im {number}.jpg", f"im {number}.jpg", "u", version="1") for number in range(4)]
    boxes = [Box("cat", 0, 0, 5, number + 1) for number in range(4)]
    answers = [(row, tmp_path / row.id, Annotation(row.id, (box,))) for row, box in zip(rows, boxes, strict=True)]
    write_answers(tmp_path / "answers.jsonl", answers)
    return Oracle(Oracle.Options(annotations=tmp_path / "answers.jsonl", queue=tmp_path / "queue.csv"), tmp_path)


def test_nothing_is_known_before_it_is_revealed(oracle):
    items = list(oracle.items())
    assert {item.state for item in items} == {UNLABELED}
    assert [type(answer) for answer in oracle.annotations(items)] == [Refusal] * 4
    oracle.reveal([items[1].id])
    assert [item.state for item in oracle.items()] == [UNLABELED, LABELED, UNLABELED, UNLABELED]
    answer = next(iter(oracle.annotations([items[1]])))
    assert answer.boxes == (Box("cat", 0, 0, 5, 2),)


def test_an_annotation_changes_its_items_version_and_no_other(oracle):
    before = [item.version for item in oracle.items()]
    oracle.reveal(["folder/im 2.jpg"])
    after = [item.version for item in oracle.items()]
    assert [old == new for old, new in zip(before, after, strict=True)] == [True, True, False, True]


def test_it_answers_what_the_queue_asks_for_in_its_order(oracle):
    items = list(oracle.items())
    rows = [QueryRow(rank, items[place], 1.0, rank <= 2) for rank, place in enumerate((3, 0, 1), 1)]
    list(oracle.push(rows))
    assert oracle.batch() == [items[3].id, items[0].id]


def test_an_item_that_it_does_not_know_is_an_error_and_so_is_an_oracle_without_answers(oracle, tmp_path):
    with pytest.raises(DataError, match="no item 'x'"):
        oracle.reveal(["x"])
    with pytest.raises(UsageError, match="needs its answers"):
        Oracle(Oracle.Options(), tmp_path)
