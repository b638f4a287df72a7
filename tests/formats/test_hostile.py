"""Annotation files that fuzzing has broken a reader with: each is refused by what is wrong in it."""

from __future__ import annotations

import json

import pytest

from alcli.errors import DataError
from alcli.formats.coco import Coco
from alcli.formats.superannotate import Superannotate, parse
from alcli.formats.yolo import Yolo


def yolo(folder, description: str) -> Yolo:
    (folder / "data.yaml").write_text(description)
    (folder / "labels").mkdir()
    return Yolo(folder)


@pytest.mark.parametrize(
    ("description", "why"),
    [
        ("names: {0: a, x: b}\n", "the keys are not 0 to 1"),
        ("names: [a, no]\n", "False is not a name"),
        ("names: [a, null]\n", "None is not a name"),
        ("names: [a, [b]]\n", "is not a name"),
        ("names: [a]\nkpt_shape: [1000000000, 3]\n", "kpt_shape: expected"),
        ("names: [a]\nkpt_shape: [true, 3]\n", "kpt_shape: expected"),
        ("names: [a]\ndate: 2020-99-99\n", "month must be in 1..12"),
        ("names: [a]\n!!int x: 2\n", "cannot be read"),
        ("a: &a [x, x]\nnames: *a\n", "uses an alias"),
        ("a: &a {k: v}\nb: {<<: [*a, *a]}\n", "uses an alias"),
        ("names: " + "[" * 30_000, "cannot be read"),
        ("names: [a]\n" + "#" * 2**20, "too large"),
    ],
)
def test_a_description_that_cannot_be_used_is_refused(tmp_path, description, why):
    with pytest.raises(DataError, match=why):
        yolo(tmp_path, description).labeled(["x.jpg"])


def test_a_class_number_of_thousands_of_digits_is_no_class(tmp_path):
    labels = yolo(tmp_path, "names: [a]\n")
    (tmp_path / "labels/x.txt").write_text("7" * 5000 + " 0.5 0.5 0.1 0.1\n")
    labels.labeled(["x.jpg"])
    with pytest.raises(DataError, match=r"x.txt:1: class '777"):
        labels.read("x.jpg")


def test_a_folder_called_like_an_annotation_is_refused(tmp_path):
    labels = yolo(tmp_path, "names: [a]\n")
    (tmp_path / "labels/x.txt").mkdir()
    (tmp_path / "x.jpg.json").mkdir()
    versions, refusals = labels.labeled(["x.jpg"])
    assert versions == {}
    assert [refusal.reason for refusal in refusals] == ["not a regular file that can be opened"]
    assert not Superannotate.recognizes(tmp_path)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"groupId": {"a": 1}}, "groupId: expected a number, got dict"),
        ({"points": [10**400, 1, 9, 1, 9, 9]}, "instance 0 .polygon.: int too large"),
    ],
)
def test_an_instance_that_is_broken_is_named(change, why):
    polygon = {"type": "polygon", "className": "dog", "points": [1, 1, 9, 1, 9, 9], **change}
    with pytest.raises(DataError, match=why):
        parse("x", {"instances": [polygon]})


def test_tags_that_are_no_list_are_refused_and_an_endless_size_is_none():
    with pytest.raises(DataError, match="tags: expected a list, got int"):
        parse("x", {"tags": 7})
    assert parse("x", {"metadata": {"width": float("inf"), "height": 9}}).size is None


@pytest.mark.parametrize(
    ("region", "why"),
    [
        ({"size": [2, 2], "counts": "0"}, r"it covers 0 pixels, but 2×2 is 4"),
        ({"size": [2, 2], "counts": "oooo"}, "run lengths are truncated"),
        ({"size": [10**6, 10**6], "counts": [10**12]}, "more than the 100000000 allowed"),
    ],
)
def test_a_mask_that_does_not_cover_its_image_is_refused(tmp_path, region, why):
    row = {"id": 1, "image_id": 1, "category_id": 1, "segmentation": region}
    document = {"images": [{"id": 1, "file_name": "x.jpg"}], "categories": [{"id": 1, "name": "a"}]}
    (tmp_path / "c.json").write_text(json.dumps({**document, "annotations": [row]}))
    labels = Coco(tmp_path / "c.json")
    labels.labeled(["x.jpg"])
    with pytest.raises(DataError, match=why):
        labels.read("x.jpg")
