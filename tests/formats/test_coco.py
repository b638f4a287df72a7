from __future__ import annotations

import json
from pathlib import Path

import pytest

from alcli.errors import DataError
from alcli.formats.coco import Coco
from alcli.formats.voc import Voc
from tests.support.scenes import Photos


def good() -> dict:
    return {
        "images": [{"id": 1, "file_name": "a.jpg", "width": 96, "height": 80}, {"id": 2, "file_name": "b.jpg"}],
        "categories": [{"id": 7, "name": "cat"}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 7, "bbox": [1, 2, 30, 40]}],
    }


def write(tmp_path: Path, document: object) -> Coco:
    path = tmp_path / "coco.json"
    path.write_text(document if isinstance(document, str) else json.dumps(document), encoding="utf-8")
    return Coco(path)


def test_listed_images_are_labelled_also_without_objects(tmp_path):
    labels = write(tmp_path, good())
    versions, refusals = labels.labeled(["a.jpg", "b.jpg", "c.jpg"])
    assert set(versions) == {"a.jpg", "b.jpg"}
    assert refusals == []
    assert labels.read("a.jpg").size == (96, 80)
    assert labels.read("b.jpg").boxes == ()
    assert labels.read("b.jpg").size is None


def test_coco_and_voc_say_the_same(tmp_path):
    photos = Photos(tmp_path / "p").draw(4, annotated=4)
    names = [photos.name(number) for number in range(4)]
    coco, voc = Coco(photos.coco([0, 1, 2, 3])), Voc(photos.annotations)
    coco.labeled(names), voc.labeled(names)
    for name in names:
        assert coco.read(name) == voc.read(name)


def test_only_the_changed_image_gets_a_new_version(tmp_path):
    before, _ = write(tmp_path, good()).labeled(["a.jpg", "b.jpg"])
    document = good()
    document["annotations"][0]["bbox"] = [1, 2, 30, 41]
    after, _ = write(tmp_path, document).labeled(["a.jpg", "b.jpg"])
    assert before["a.jpg"] != after["a.jpg"]
    assert before["b.jpg"] == after["b.jpg"]


def test_crowds_are_left_out(tmp_path):
    document = good()
    document["annotations"][0]["iscrowd"] = 1
    labels = write(tmp_path, document)
    labels.labeled(["a.jpg"])
    assert labels.read("a.jpg").boxes == ()


def change(keys: list, value: object) -> dict:
    document = good()
    target = document
    for key in keys[:-1]:
        target = target[key]
    target[keys[-1]] = value
    return document


@pytest.mark.parametrize(
    ("document", "why"),
    [
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ([], "root is a list"),
        ({}, "categories: expected a list"),
        (change(["images"], {}), "images: expected a list, got dict"),
        (change(["images", 1, "id"], 1), r"images\[1\].id: 1 occurs twice"),
        (change(["images", 0, "file_name"], None), r"images\[0\].file_name"),
        (change(["annotations", 0, "image_id"], 9), r"annotations\[0\].image_id: there is no image 9"),
        (change(["annotations", 0, "category_id"], 9), r"annotations\[0\].category_id: there is no category 9"),
        (change(["categories", 0], "cat"), r"categories\[0\]: expected an object"),
    ],
)
def test_a_file_that_is_not_coco_is_refused_with_the_place(tmp_path, document, why):
    with pytest.raises(DataError, match=why):
        write(tmp_path, document).labeled(["a.jpg", "b.jpg"])


@pytest.mark.parametrize(
    ("bbox", "why"),
    [
        ([1, 2, float("nan"), 4], r"annotations\[0\].bbox\[2\]: nan"),
        ([1, 2, 3], r"annotations\[0\].bbox: expected"),
        ([1, 2, -3, 4], r"annotations\[0\].bbox: .* swapped"),
        ([1, 2, 0, 4], "zero area"),
        ([1, "2", 3, 4], r"bbox\[1\]: '2' is not a number"),
        (None, r"bbox: expected"),
    ],
)
def test_a_broken_box_spoils_its_image_only(tmp_path, bbox, why):
    labels = write(tmp_path, change(["annotations", 0, "bbox"], bbox))
    labels.labeled(["a.jpg", "b.jpg"])
    with pytest.raises(DataError, match=why):
        labels.read("a.jpg")
    assert labels.read("b.jpg").boxes == ()


def test_orphans_ambiguous_and_double_entries_are_refused(tmp_path):
    document = good()
    document["images"] += [
        {"id": 3, "file_name": "a.jpg"},
        {"id": 4, "file_name": "gone.jpg"},
        {"id": 5, "file_name": "x.jpg"},
    ]
    _, refusals = write(tmp_path, document).labeled(["a.jpg", "b.jpg", "p/x.jpg", "q/x.jpg"])
    assert {refusal.name: refusal.reason for refusal in refusals} == {
        "a.jpg": "a.jpg is listed twice",
        "gone.jpg": "annotation without an image",
        "x.jpg": "could belong to p/x.jpg or q/x.jpg; write the folder into file_name",
    }
