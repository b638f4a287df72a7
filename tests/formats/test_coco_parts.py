from __future__ import annotations

import json

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from alcli.annotations import IGNORED, Annotation, Box, Keypoint, Mask, Polygon, Pose
from alcli.errors import DataError
from alcli.formats import coco

SQUARE = np.zeros((80, 96), dtype=np.uint8)
SQUARE[10:30, 20:50] = 1
COUNTS = coco_mask.encode(np.asfortranarray(SQUARE))["counts"].decode()


def read(tmp_path, *rows: dict, joints: list | None = None) -> Annotation:
    document = {
        "images": [{"id": 1, "file_name": "a.jpg", "width": 96, "height": 80}],
        "categories": [{"id": 1, "name": "cat", **({"keypoints": joints} if joints else {})}],
        "annotations": [{"id": number, "image_id": 1, "category_id": 1, **row} for number, row in enumerate(rows)],
    }
    path = tmp_path / "coco.json"
    path.write_text(json.dumps(document))
    labels = coco.Coco(path)
    labels.labeled(["a.jpg"])
    return labels.read("a.jpg")


def test_what_is_written_is_read_again(tmp_path):
    box = Box("person", 1, 2, 31, 42)
    person = Pose("person", (Keypoint("head", 5, 6), Keypoint("tail", 7, 8, visible=False)), box)
    whole = Annotation(
        "a.jpg",
        (box, Box("cat", 3, 4, 5.5, 6)),
        (96, 80),
        (),
        (person,),
        (Polygon("cat", ((1, 1, 9, 1, 9, 9), (20, 20, 30, 20, 30, 30))),),
        (Mask("cat", COUNTS, (96, 80)),),
    )
    empty = Annotation("b.jpg", size=(10, 10))
    path = tmp_path / "coco.json"
    coco.write(path, {"a.jpg": whole, "b.jpg": empty})
    labels = coco.Coco(path)
    versions, refusals = labels.labeled(["a.jpg", "b.jpg", "c.jpg"])
    assert set(versions) == {"a.jpg", "b.jpg"} and refusals == []
    again = labels.read("a.jpg")
    assert set(again.boxes) == set(whole.boxes)
    assert (again.poses, again.polygons, again.masks) == (whole.poses, whole.polygons, whole.masks)
    assert labels.read("b.jpg") == empty


def test_plain_and_compressed_run_lengths_say_the_same(tmp_path):
    flat = SQUARE.flatten(order="F")
    edges = np.flatnonzero(np.diff(flat)) + 1
    runs = np.diff([0, *edges, len(flat)]).tolist()
    annotation = read(tmp_path, {"segmentation": {"size": [80, 96], "counts": runs}})
    assert annotation.masks == (Mask("cat", COUNTS, (96, 80)),)


def test_crowd_regions_are_ignored_pixels(tmp_path):
    crowd = {"iscrowd": 1, "bbox": [0, 0, 9, 9], "segmentation": {"size": [80, 96], "counts": COUNTS}}
    annotation = read(tmp_path, crowd)
    assert annotation.boxes == ()
    assert annotation.masks == (Mask(IGNORED, COUNTS, (96, 80)),)


BROKEN = {
    "annotations[1].keypoints: expected 3 × 2 numbers, got 3 numbers": {"keypoints": [1, 2, 2]},
    "annotations[1].keypoints[3]: nan is not a number": {"keypoints": [1, 2, 2, float("nan"), 1, 1]},
    "annotations[1].segmentation: polygon of class 'cat' has 2 points": {"segmentation": [[1, 1, 5, 5]]},
    "annotations[1].segmentation[0][2]: 'x' is not a number": {"segmentation": [[1, 1, "x", 5, 3, 3]]},
    "annotations[1].segmentation.size: the mask has 5×6 pixels, the image 96×80": {
        "segmentation": {"size": [6, 5], "counts": [30]}
    },
    "annotations[1].segmentation.counts: the runs cover 4 pixels, but 96×80 is 7680": {
        "segmentation": {"size": [80, 96], "counts": [4]}
    },
    "annotations[1].segmentation: expected polygons or run lengths, got str": {"segmentation": "here"},
    "annotations[1].bbox[2]: nan is not a number": {"bbox": [1, 2, float("nan"), 4]},
}


@pytest.mark.parametrize("reason", BROKEN)
def test_errors_name_the_place(tmp_path, reason):
    with pytest.raises(DataError) as refused:
        read(tmp_path, {"bbox": [1, 1, 5, 5]}, BROKEN[reason], joints=["head", "tail"])
    assert reason in refused.value.what


def test_joints_without_names_are_refused(tmp_path):
    with pytest.raises(DataError, match="'cat' does not name its keypoints"):
        read(tmp_path, {"keypoints": [1, 2, 2]})
