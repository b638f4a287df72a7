from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alcli.annotations import Annotation, Box, Keypoint, Mask, Polygon, Pose
from alcli.errors import DataError
from alcli.items import Item, Pool

numbers = st.floats(-1e6, 1e6)


@given(st.text(), numbers, numbers, st.floats(0.001, 1e5), st.floats(0.001, 1e5))
def test_boxes_survive_json(label, x, y, width, height):
    if x + width == x or y + height == y:
        return
    annotation = Annotation("i", (Box(label, x, y, x + width, y + height),), (3, 4), ("cat",))
    assert Annotation.from_json("i", annotation.to_json()) == annotation


@pytest.mark.parametrize("score", [math.nan, math.inf])
def test_a_box_with_a_score_that_is_no_number_is_none(score):
    with pytest.raises(DataError, match="of class 'cat' has a score that is no number"):
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
def test_a_box_cannot_be_born_wrong(corners, why):
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
        (lambda: Item("", "n", "u"), "needs an id"),
        (lambda: Item("i", "n", "u", state="done"), "unknown state"),
    ],
)
def test_other_values_neither(make, why):
    with pytest.raises(DataError, match=why):
        make()


def test_quarantine_wins_over_the_platforms_state():
    items = {name: Item(name, name, "u", state="labeled") for name in "abc"}
    pool = Pool(items, frozenset({"b"}))
    assert [item.id for item in pool.in_state("labeled")] == ["a", "c"]
    assert pool.counts() == {"labeled": 2, "unlabeled": 0, "skipped": 0, "quarantined": 1}


def test_shares_become_pixels_of_the_image():
    joint = Pose("person", (Keypoint("head", 0.5, 0.25),), Box("person", 0, 0, 1, 0.5))
    shares = Annotation(
        "i",
        (Box("cat", 0.25, 0.5, 0.75, 1),),
        poses=(joint,),
        polygons=(Polygon("cat", ((0, 0, 1, 0, 1, 1),), ((0.5, 0.5, 0.75, 0.5, 0.75, 1),)),),
        relative=True,
    )
    assert Annotation.from_json("i", shares.to_json()) == shares
    assert shares.in_pixels(40, 20) == Annotation(
        "i",
        (Box("cat", 10, 10, 30, 20),),
        poses=(Pose("person", (Keypoint("head", 20, 5),), Box("person", 0, 0, 40, 10)),),
        polygons=(Polygon("cat", ((0, 0, 40, 0, 40, 20),), ((20, 10, 30, 10, 30, 20),)),),
    )
    assert shares.in_pixels(40, 20).in_pixels(7, 7) == shares.in_pixels(40, 20)


def test_only_what_a_model_is_sure_of_stays():
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
