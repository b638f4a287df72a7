"""CVAT's own XML."""

from __future__ import annotations

import numpy as np
import pytest

from alcli.annotations import Annotation, Box
from alcli.errors import DataError
from alcli.formats import Purpose
from alcli.formats.cvat import Cvat
from alcli.formats.voc import Voc

BOX = '<box label="cat" occluded="0" xtl="10.00" ytl="10.00" xbr="40.00" ybr="40.00" {}/>'
RUNS = "1, 2, 2, 1"
"""Of a rectangle of 3×2: the second and third pixel of its first row, and the last of its second."""


def image(name: str, *objects: str) -> str:
    return f'<image id="0" name="{name}" width="96" height="64">{"".join(objects)}</image>'


def write(tmp_path, *images: str) -> Cvat:
    path = tmp_path / "annotations.xml"
    path.write_text(f'<?xml version="1.0" encoding="utf-8"?><annotations>{"".join(images)}</annotations>')
    return Cvat(tmp_path)


def read(tmp_path, task: str, *objects: str) -> Annotation:
    labels = write(tmp_path, image("a.jpg", *objects))
    labels.purpose = Purpose(task)
    labels.labeled(["a.jpg"])
    return labels.read("a.jpg")


def test_boxes_are_read_in_pixels(tmp_path):
    labels = write(tmp_path, image("a.jpg", BOX.format("")), image("b.jpg"), image("gone.jpg"))
    assert Cvat.recognizes(tmp_path) and Cvat.recognizes(tmp_path / "annotations.xml")
    assert not Voc.recognizes(tmp_path)
    versions, refusals = labels.labeled(["a.jpg", "b.jpg", "c.jpg"])
    assert set(versions) == {"a.jpg", "b.jpg"}
    assert [refusal.name for refusal in refusals] == ["gone.jpg"]
    assert labels.read("a.jpg") == Annotation("a.jpg", (Box("cat", 10, 10, 40, 40),), (96, 64))
    assert labels.read("b.jpg").boxes == ()


OUTLINES = {
    "a turned box": (BOX.format('rotation="90.0"'), (10, 10, 40, 40)),
    "a polygon": ('<polygon label="cat" points="1,2;30,2;30,40"/>', (1, 2, 30, 40)),
    "an ellipse": ('<ellipse label="cat" cx="20" cy="30" rx="10" ry="5" rotation="90"/>', (15, 20, 25, 40)),
    "a mask": (f'<mask label="cat" rle="{RUNS}" left="5" top="7" width="3" height="2"/>', (6, 7, 8, 9)),
}


@pytest.mark.parametrize("what", OUTLINES)
def test_for_detection_an_outline_gives_its_box(tmp_path, what):
    (box,) = read(tmp_path, "detection", OUTLINES[what][0]).boxes
    assert (box.x1, box.y1, box.x2, box.y2) == pytest.approx(OUTLINES[what][1])
    assert read(tmp_path, "segmentation", OUTLINES[what][0]).boxes == ()


def test_a_mask_is_read_row_by_row_within_its_rectangle(tmp_path):
    (mask,) = read(tmp_path, "segmentation", OUTLINES["a mask"][0]).masks
    assert mask.label == "cat" and mask.size == (96, 64)
    assert np.argwhere(mask.pixels()).tolist() == [[7, 6], [7, 7], [8, 7]]


def test_tags_are_labels(tmp_path):
    assert read(tmp_path, "classification", '<tag label="cat"/>', '<tag label="dog"/>').labels == ("cat", "dog")


BROKEN = {
    "object 0: alcli does not read <polytope>": '<polytope label="cat"/>',
    "object 0 .<cuboid>.: xtl1 is None": '<cuboid label="cat"/>',
    "object 0 .<box>.: xtl is 'left'": BOX.format("").replace('"10.00"', '"left"', 1),
    "it has no label": '<tag label=""/>',
    "points are not numbers": '<polygon label="cat" points="1,2;a,b"/>',
    "cover 6 pixels, but 3×3 is 9": f'<mask label="cat" rle="{RUNS}" left="5" top="7" width="3" height="3"/>',
    "the mask exceeds its image": f'<mask label="cat" rle="{RUNS}" left="95" top="7" width="3" height="2"/>',
    "run lengths are not numbers": '<mask label="cat" rle="x" left="5" top="7" width="3" height="2"/>',
}


@pytest.mark.parametrize("reason", BROKEN)
def test_a_broken_object_spoils_its_image(tmp_path, reason):
    with pytest.raises(DataError, match=reason):
        read(tmp_path, "detection", BROKEN[reason])


def test_tracks_of_a_video_are_refused(tmp_path):
    with pytest.raises(DataError, match="holds tracks of a video"):
        write(tmp_path, '<track id="0" label="cat"/>').labeled(["a.jpg"])
