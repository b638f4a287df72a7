"""What every platform promises, on the platforms that need no server; a remote one is driven beside its own server."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from alcli.annotations import Annotation
from alcli.items import LABELED, UNLABELED, Item, QueryRow
from alcli.platforms import Platform
from alcli.platforms.folder import Folder
from alcli.platforms.oracle import Oracle, write_answers
from tests.support.scenes import Photos


def folder(photos: Photos) -> Platform:
    return Folder(Folder.Options(images=photos.images, annotations=photos.annotations), Path("unused"))


def folder_with_coco(photos: Photos) -> Platform:
    return Folder(Folder.Options(images=photos.images, annotations=photos.coco(list(range(8)))), Path("unused"))


def oracle(photos: Photos) -> Platform:
    """Every item is answered, eight are revealed; ids are the images' names, as in the folder."""
    source = Folder(Folder.Options(images=photos.images, annotations=photos.annotations), Path("unused"))
    rows = [row for row in source.items() if isinstance(row, Item)]
    run = photos.root / "run"
    run.mkdir(exist_ok=True)
    write_answers(run / "answers.jsonl", ((row, source.image(row), Annotation(row.id)) for row in rows))
    platform = Oracle(Oracle.Options(annotations=run / "answers.jsonl", queue=run / "queue.csv"), Path("unused"))
    platform.reveal([row.id for row in rows if row.state == LABELED])
    return platform


everyone = pytest.mark.parametrize("make", [folder, folder_with_coco, oracle], ids=lambda make: make.__name__)
Make = Callable[[Photos], Platform]


def listed(platform: Platform) -> list[Item]:
    return [row for row in platform.items() if isinstance(row, Item)]


@everyone
def test_listing_is_complete_unique_and_repeatable(make: Make, photos):
    first, second = listed(make(photos)), listed(make(photos))
    assert first == second
    assert len({item.id for item in first}) == len(first) == 12
    assert [item.state for item in first].count(LABELED) == 8


@everyone
def test_one_answer_for_each_item_asked_for_in_that_order(make: Make, photos):
    platform = make(photos)
    asked = [item for item in listed(platform) if item.state == LABELED][::-1]
    answers = list(platform.annotations(asked))
    assert [answer.item_id for answer in answers if isinstance(answer, Annotation)] == [item.id for item in asked]
    assert list(platform.annotations([])) == []


@everyone
def test_annotations_can_be_asked_for_without_listing_first(make: Make, photos):
    item = listed(make(photos))[0]
    assert len(list(make(photos).annotations([item]))) == 1


@everyone
def test_an_image_is_a_local_file(make: Make, photos):
    platform = make(photos)
    for item in listed(platform):
        assert platform.image(item).is_file()


@everyone
def test_what_is_pushed_is_the_queue_and_twice_is_once(make: Make, photos):
    platform = make(photos)
    pool = [item for item in listed(platform) if item.state == UNLABELED][::-1]
    rows = [QueryRow(rank, item, -float(rank), rank == 1) for rank, item in enumerate(pool, 1)]
    for _ in range(2):
        receipts = list(platform.push(rows))
        assert [receipt.item_id for receipt in receipts if receipt.accepted] == [item.id for item in pool]
        assert [place.item_id for place in platform.queue()] == [item.id for item in pool]
    list(platform.push(rows[:1]))
    assert [place.item_id for place in platform.queue()] == [pool[0].id]
    assert listed(make(photos)) == listed(platform)
