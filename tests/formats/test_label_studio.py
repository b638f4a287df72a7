"""Label Studio's own JSON."""

from __future__ import annotations

import json

import pytest

from alcli.annotations import Annotation, Box
from alcli.errors import DataError
from alcli.formats import Purpose
from alcli.formats.coco import Coco
from alcli.formats.label_studio import LabelStudio

SIZE = {"original_width": 96, "original_height": 64}
CORNERS = {"x": 12.5, "y": 25.0, "width": 25.0, "height": 50.0}


def rectangle(**value: object) -> dict:
    return {"type": "rectanglelabels", **SIZE, "value": {**CORNERS, "rectanglelabels": ["cat"], **value}}


def task(image: str, *results: dict, **facts: object) -> dict:
    return {"data": {"image": image}, "annotations": [{"result": list(results), **facts}]}


def write(tmp_path, *tasks: dict, purpose: str = "") -> LabelStudio:
    path = tmp_path / "project-1.json"
    path.write_text(json.dumps(tasks))
    labels = LabelStudio(path)
    labels.purpose = Purpose(purpose)
    return labels


ADDRESSES = ["/data/upload/4/1a2b3c4d-a.jpg", "/data/local-files/?d=images/a.jpg", "s3://bucket/x/a.jpg", "a.jpg"]


@pytest.mark.parametrize("address", ADDRESSES)
def test_rectangles_are_read_in_pixels(tmp_path, address):
    labels = write(tmp_path, task(address, rectangle()), {"data": {"image": "b.jpg"}, "annotations": []})
    assert LabelStudio.recognizes(tmp_path / "project-1.json") and LabelStudio.recognizes(tmp_path)
    assert not Coco.recognizes(tmp_path / "project-1.json")
    versions, refusals = labels.labeled(["a.jpg", "b.jpg"])
    assert set(versions) == {"a.jpg"} and refusals == []
    assert labels.read("a.jpg") == Annotation("a.jpg", (Box("cat", 12, 16, 36, 48),), (96, 64))


@pytest.mark.parametrize(
    ("lead_time", "seconds"), [(12.5, 12.5), (0, None), (-3, None), (float("nan"), None), (float("inf"), None)]
)
def test_an_export_says_how_long_an_image_took(tmp_path, lead_time, seconds):
    labels = write(tmp_path, task("a.jpg", rectangle(), lead_time=lead_time))
    labels.labeled(["a.jpg"])
    assert labels.read("a.jpg").seconds == seconds


def test_a_cancelled_annotation_is_none_and_two_are_refused(tmp_path):
    twice = task("b.jpg", rectangle())
    twice["annotations"] *= 2
    labels = write(tmp_path, task("a.jpg", rectangle(), was_cancelled=True), twice)
    assert set(labels.labeled(["a.jpg", "b.jpg"])[0]) == {"b.jpg"}
    with pytest.raises(DataError, match="its task has 2 annotations"):
        labels.read("b.jpg")


def test_outlines_give_detection_their_boxes(tmp_path):
    polygon = {
        "type": "polygonlabels",
        **SIZE,
        "value": {"points": [[0, 0], [50, 0], [50, 100]], "polygonlabels": ["dog"]},
    }
    labels = write(tmp_path, task("a.jpg", polygon, rectangle(rotation=90)), purpose="detection")
    labels.labeled(["a.jpg"])
    dog, cat = labels.read("a.jpg").boxes
    assert dog == Box("dog", 0, 0, 48, 64)
    assert (cat.x1, cat.y1, cat.x2, cat.y2) == pytest.approx((0, 16, 12, 16 + 24))


def test_choices_are_labels(tmp_path):
    labels = write(tmp_path, task("a.jpg", {"type": "choices", "value": {"choices": ["cat", "dog"]}}))
    labels.labeled(["a.jpg"])
    assert labels.read("a.jpg").labels == ("cat", "dog")


@pytest.mark.parametrize(
    ("result", "why"),
    [
        ({"type": "vectorlabels"}, "does not read 'vectorlabels'"),
        (rectangle(x="left"), "result 0 .rectanglelabels.: ValueError"),
        (rectangle(rectanglelabels=[]), "expected one label"),
        ({"type": "rectanglelabels", "value": {**CORNERS, "rectanglelabels": ["cat"]}}, "original_width"),
        ({"type": "rectanglelabels"}, "KeyError: 'value'"),
    ],
)
def test_a_broken_result_spoils_its_image(tmp_path, result, why):
    labels = write(tmp_path, task("a.jpg", result))
    labels.labeled(["a.jpg"])
    with pytest.raises(DataError, match=why):
        labels.read("a.jpg")
