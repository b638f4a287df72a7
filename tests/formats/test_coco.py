from __future__ import annotations

import json
from pathlib import Path

import pytest

from alcli.annotations import Annotation, Box
from alcli.errors import DataError
from alcli.formats import Purpose
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


def test_listed_images_are_labeled_also_without_objects(tmp_path):
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
    ],
)
def test_a_file_that_is_not_coco_is_refused_with_the_place(tmp_path, document, why):
    with pytest.raises(DataError, match=why):
        write(tmp_path, document).labeled(["a.jpg", "b.jpg"])


@pytest.mark.parametrize(
    ("document", "why"),
    [
        (change(["images", 1, "id"], 1), r"images\[1\].id: 1 occurs twice"),
        (change(["annotations", 0, "category_id"], 9), r"annotations\[0\].category_id: there is no category 9"),
        (change(["categories", 0], "cat"), r"annotations\[0\].category_id: there is no category 7"),
        (change(["categories", 0, "name"], None), r"categories\[0\].name: expected a name"),
        (change(["categories"], [{"id": 7, "name": "cat"}, {"id": 7, "name": "dog"}]), r"id: 7 occurs twice"),
    ],
)
def test_a_broken_entry_spoils_its_image_only(tmp_path, document, why):
    document["images"].append({"id": 3, "file_name": "c.jpg"})
    labels = write(tmp_path, document)
    assert set(labels.labeled(["a.jpg", "b.jpg", "c.jpg"])[0]) == {"a.jpg", "b.jpg", "c.jpg"}
    with pytest.raises(DataError, match=why):
        labels.read("a.jpg")
    assert labels.read("c.jpg").boxes == ()


@pytest.mark.parametrize(
    ("document", "where"),
    [
        (change(["images", 0, "file_name"], None), "images[0]"),
        (change(["images", 0], "a.jpg"), "images[0]"),
        (change(["annotations", 0, "image_id"], 9), "annotations[0]"),
        (change(["annotations", 0], None), "annotations[0]"),
    ],
)
def test_what_belongs_to_no_image_is_left_out(tmp_path, document, where):
    versions, refusals = write(tmp_path, document).labeled(["a.jpg", "b.jpg"])
    assert "b.jpg" in versions
    assert where in [refusal.name for refusal in refusals]


@pytest.mark.parametrize("ids", [("1", "7"), (1.0, 7.0)])
def test_ids_are_compared_by_their_text(tmp_path, ids):
    document = good()
    document["annotations"][0] |= dict(zip(("image_id", "category_id"), ids, strict=True))
    labels = write(tmp_path, document)
    assert labels.labeled(["a.jpg", "b.jpg"])[1] == []
    assert labels.read("a.jpg").boxes == (Box("cat", 1, 2, 31, 42),)


ODD_PARTS = [
    {"segmentation": [[]]},
    {"segmentation": [[10, 10, 40, 40]]},
    {"segmentation": [10, 10, 40, 10, 40, 40]},
    {"keypoints": []},
    {"keypoints": [1, 2, 2]},
]


@pytest.mark.parametrize("part", ODD_PARTS)
def test_detection_reads_the_box_whatever_the_other_parts_are(tmp_path, part):
    document = good()
    document["annotations"][0] |= part
    labels = write(tmp_path, document)
    labels.purpose = Purpose("detection")
    labels.labeled(["a.jpg", "b.jpg"])
    assert labels.read("a.jpg") == Annotation("a.jpg", (Box("cat", 1, 2, 31, 42),), (96, 80))


@pytest.mark.parametrize("part", ODD_PARTS[:3])
def test_segmentation_refuses_an_invalid_outline(tmp_path, part):
    document = good()
    document["annotations"][0] |= part
    labels = write(tmp_path, document)
    labels.purpose = Purpose("segmentation")
    labels.labeled(["a.jpg", "b.jpg"])
    with pytest.raises(DataError, match="segmentation"):
        labels.read("a.jpg")


def test_one_file_per_split_is_one_set(tmp_path):
    for split, name in (("train", "a.jpg"), ("valid", "b.jpg")):
        (tmp_path / split).mkdir()
        document = {**good(), "images": [{"id": 1, "file_name": name, "width": 96, "height": 80}]}
        (tmp_path / split / "_annotations.coco.json").write_text(json.dumps(document))
    (tmp_path / "notes.json").write_text('{"info": 1}')
    labels = Coco(tmp_path)
    assert Coco.recognizes(tmp_path)
    versions, refusals = labels.labeled(["train/a.jpg", "valid/a.jpg", "valid/b.jpg"])
    assert set(versions) == {"train/a.jpg", "valid/b.jpg"} and refusals == []
    assert labels.read("valid/b.jpg").boxes == (Box("cat", 1, 2, 31, 42),)


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
    labels = write(tmp_path, document)
    _, refusals = labels.labeled(["a.jpg", "b.jpg", "p/x.jpg", "q/x.jpg"])
    with pytest.raises(DataError, match="claimed by 2 annotations: coco:1 and coco:3"):
        labels.read("a.jpg")
    assert {refusal.name: refusal.reason for refusal in refusals} == {
        "gone.jpg": "annotation without an image",
        "x.jpg": "could belong to p/x.jpg or q/x.jpg; write the folder into file_name",
    }


def split_files(tmp_path: Path, **documents: dict) -> Coco:
    for name, document in documents.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(document))
    return Coco(tmp_path)


def test_several_files_that_say_the_same_of_an_image_are_one(tmp_path):
    person = good()
    person["categories"][0]["keypoints"] = ["nose"]
    person["annotations"][0] |= {"keypoints": [5, 6, 2], "num_keypoints": 1}
    bare = {"images": good()["images"], "annotations": [], "categories": []}
    labels = split_files(tmp_path, instances_train=good(), person_keypoints_train=person, image_info_train=bare)
    versions, refusals = labels.labeled(["a.jpg", "b.jpg"])
    assert (set(versions), refusals) == ({"a.jpg", "b.jpg"}, [])
    assert labels.read("b.jpg").boxes == ()
    labels.purpose = Purpose("pose")
    annotation = labels.read("a.jpg")
    assert [(box.label, box.x1, box.y1, box.x2, box.y2) for box in annotation.boxes] == [("cat", 1, 2, 31, 42)]
    assert [(point.name, point.x, point.y) for point in annotation.poses[0].keypoints] == [("nose", 5, 6)]


def test_files_that_contradict_each_other_are_refused(tmp_path):
    other = good()
    other["annotations"][0]["bbox"] = [1, 2, 30, 41]
    labels = split_files(tmp_path, first=good(), second=other)
    versions, _ = labels.labeled(["a.jpg", "b.jpg"])
    assert "b.jpg" in versions
    with pytest.raises(DataError, match=r"claimed by 2 annotations: coco:first\.json: 1 and coco:second\.json: 1"):
        labels.read("a.jpg")
