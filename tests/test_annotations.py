from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from alcli.annotations import Annotation, Box, Keypoint, Mask, Polygon, Pose, object_counts, pixel_count
from alcli.errors import DataError

numbers = st.floats(-1e6, 1e6)


@given(st.text(), numbers, numbers, st.floats(0.001, 1e5), st.floats(0.001, 1e5))
def test_boxes_survive_json(label, x, y, width, height):
    if x + width == x or y + height == y:
        return
    annotation = Annotation("i", (Box(label, x, y, x + width, y + height),), (3, 4), ("cat",))
    assert Annotation.from_json("i", annotation.to_json()) == annotation


@pytest.mark.parametrize("score", [math.nan, math.inf])
def test_a_box_needs_a_finite_score(score):
    with pytest.raises(DataError, match="of class 'cat' has a score that is not finite"):
        Box("cat", 0, 0, 1, 1, score)


def test_every_part_of_an_annotation_survives_json():
    box = Box("person", 1, 2, 3, 4, 0.5)
    annotation = Annotation(
        "i",
        (box,),
        (10, 20),
        ("cat", "dog"),
        (Pose("person", (Keypoint("nose", 1.5, 2, visible=False),), box), Pose("person", (Keypoint("ear", 0, 0),))),
        (Polygon("road", ((0, 0, 4, 0, 4, 4),), ((1, 1, 2, 1, 2, 2),)),),
        (Mask("sky", "0X6", (10, 20)),),
    )
    assert Annotation.from_json("i", annotation.to_json()) == annotation
    assert annotation.class_names() == {"person", "road", "sky", "cat", "dog"}


@pytest.mark.parametrize(
    ("corners", "why"),
    [
        ((5, 0, 1, 9), "swapped"),
        ((0, 9, 5, 1), "swapped"),
        ((3, 0, 3, 9), "zero area"),
        ((0, math.nan, 5, 9), "not finite"),
        ((0, 0, math.inf, 9), "not finite"),
    ],
)
def test_invalid_boxes_are_refused(corners, why):
    with pytest.raises(DataError, match=why):
        Box("a", *corners)


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda: Pose("person", ()), "no marked joint"),
        (lambda: Pose("person", (Keypoint("a", 0, 0), Keypoint("a", 1, 1))), "twice"),
        (lambda: Keypoint("a", math.nan, 0), "not finite"),
        (lambda: Polygon("a", ((0, 0, 1, 1),)), "2 points"),
        (lambda: Polygon("a", ()), "no points"),
        (lambda: Polygon("a", ((0, 0, 1, 1, math.inf, 2),)), "not finite"),
    ],
)
def test_invalid_parts_are_refused(make, why):
    with pytest.raises(DataError, match=why):
        make()


def test_relative_coordinates_become_pixels():
    joint = Pose("person", (Keypoint("head", 0.5, 0.25),), Box("person", 0, 0, 1, 0.5))
    relative = Annotation(
        "i",
        (Box("cat", 0.25, 0.5, 0.75, 1),),
        poses=(joint,),
        polygons=(Polygon("cat", ((0, 0, 1, 0, 1, 1),), ((0.5, 0.5, 0.75, 0.5, 0.75, 1),)),),
        relative=True,
    )
    assert Annotation.from_json("i", relative.to_json()) == relative
    assert relative.in_pixels(40, 20) == Annotation(
        "i",
        (Box("cat", 10, 10, 30, 20),),
        poses=(Pose("person", (Keypoint("head", 20, 5),), Box("person", 0, 0, 40, 10)),),
        polygons=(Polygon("cat", ((0, 0, 40, 0, 40, 20),), ((20, 10, 30, 10, 30, 20),)),),
    )
    assert relative.in_pixels(40, 20).in_pixels(7, 7) == relative.in_pixels(40, 20)


def test_confident_keeps_only_likely_parts():
    sure, unsure = Keypoint("head", 1, 1, score=0.9), Keypoint("tail", 2, 2, score=0.1)
    said = Annotation(
        "i",
        (Box("cat", 0, 0, 1, 1, 0.4), Box("dog", 0, 0, 1, 1, 0.6), Box("drawn", 0, 0, 1, 1)),
        labels=("a", "b"),
        label_scores=(0.7, 0.2),
        poses=(Pose("x", (sure, unsure)), Pose("y", (unsure,))),
    )
    kept = said.confident(0.5)
    assert [box.label for box in kept.boxes] == ["dog", "drawn"]
    assert (kept.labels, kept.label_scores) == (("a",), (0.7,))
    assert kept.poses == (Pose("x", (sure,)),)
    assert Annotation("i", labels=("a", "b")).confident(0.5).labels == ("a", "b")


def test_object_counts_include_every_part_and_for_poses_the_joints():
    counts = object_counts(
        [
            Annotation("a", (Box("cat", 0, 0, 1, 1), Box("cat", 0, 0, 1, 1)), labels=("dog",)),
            Annotation("b", polygons=(Polygon("cat", ((0, 0, 1, 0, 1, 1),)), Polygon("", ((0, 0, 1, 0, 1, 1),)))),
            Annotation("c", poses=(Pose("person", (Keypoint("nose", 1, 1),)),)),
        ]
    )
    assert counts == {"cat": 3, "dog": 1, "nose": 1}


@pytest.mark.parametrize(("counts", "why"), [("0", "it covers 0 pixels"), ("oooo", "run lengths are truncated")])
def test_masks_with_too_few_pixels_are_refused(counts, why):
    with pytest.raises(DataError, match=why):
        Mask("a", counts, (4, 3))


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 1.0])
def test_pixel_count_agrees_with_pycocotools(share):
    rng = np.random.default_rng(0)
    for _ in range(50):
        pixels = np.repeat(rng.random((rng.integers(1, 40), rng.integers(1, 99))) < share, 3, axis=0)
        counts = coco_mask.encode(np.asfortranarray(pixels, dtype=np.uint8))["counts"].decode()
        assert pixel_count(counts) == pixels.size


@pytest.mark.parametrize("counts", ["P", "oooooooooooo", " ", "é", "0P", "\ud800"])
def test_invalid_run_lengths_are_refused(counts):
    with pytest.raises(DataError, match="its run lengths"):
        pixel_count(counts)


@pytest.mark.parametrize(("counts", "pixels"), [("", 0), ("0", 0), ("4", 4), ("04", 4)])
def test_short_run_lengths_are_counted(counts, pixels):
    assert pixel_count(counts) == pixels
