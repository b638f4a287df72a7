"""Which image an annotation belongs to."""

from __future__ import annotations

from pathlib import Path

import pytest

from alcli.errors import DataError
from alcli.formats._names import Claim, ImageNames, Matched, match_claims

COMPOSED, DECOMPOSED = "M\u00fcller.jpg", "Mu\u0308ller.jpg"

TOOL = "without what the annotation tool added to the name"
MATCHES = {
    "its path": ("a/x.jpg", "a/x.jpg", ""),
    "a bare name": ("y.jpg", "deep/down/y.jpg", ""),
    "an end of the image's path": ("down/y.jpg", "deep/down/y.jpg", ""),
    "a prefix": ("photos/a/x.jpg", "a/x.jpg", "after the prefix photos/ was dropped"),
    "a path in a storage": ("../../upload/4/y.jpg", "deep/down/y.jpg", "after the prefix ../../upload/4/ was dropped"),
    "the longest end": ("b/a/x.jpg", "a/x.jpg", "after the prefix b/ was dropped"),
    "backslashes": ("C:\\data\\deep\\down\\y.jpg", "deep/down/y.jpg", "after the prefix C:/data/ was dropped"),
    "another Unicode form": (COMPOSED, DECOMPOSED, "in another Unicode form"),
    "case": ("DOWN/Y.JPG", "deep/down/y.jpg", "ignoring case"),
    "another suffix": ("y.jpeg", "deep/down/y.jpg", "without suffix"),
    "no suffix": ("y", "deep/down/y.jpg", "without suffix"),
    "case and suffix": ("Y.PNG", "deep/down/y.jpg", "without suffix, ignoring case"),
    "percent escapes": ("a%20b.jpg", "a b.jpg", "without percent escapes"),
    "Label Studio's upload": (
        "images/0a1b2c3d-y.jpg",
        "deep/down/y.jpg",
        f"after the prefix images/ was dropped, {TOOL}",
    ),
    "Roboflow's upload": (f"y_jpg.rf.{'0a1b2c3d' * 4}.jpg", "deep/down/y.jpg", TOOL),
    "Roboflow's upload of a PNG": (f"scan.0001_png.rf.{'0a1b2c3d' * 4}.jpg", "scan.0001.png", TOOL),
}
IMAGES = ["a/x.jpg", "b/x.jpg", "deep/down/y.jpg", DECOMPOSED, "a b.jpg", "100%25.jpg", "scan.0001.png"]


@pytest.mark.parametrize("what", MATCHES)
def test_an_image_is_found_by(what):
    key, image, leniency = MATCHES[what]
    match = ImageNames(IMAGES, suffixes=True).match([key])
    assert (match.images, match.leniency) == ((image,), leniency)


@pytest.mark.parametrize(("key", "image"), [("y", "deep/down/y.jpg"), ("y.jpg", "deep/down/y.jpg"),
                                            ("scan.0001", "scan.0001.png"), ("100%25", "100%25.jpg")])  # fmt: skip
def test_an_annotation_file_finds_its_image(key, image):
    assert ImageNames(IMAGES, suffixes=False).find(key) == [image]


def test_a_label_file_of_an_upload_finds_its_image():
    assert ImageNames(IMAGES, suffixes=False).find("labels/0a1b2c3d-y") == ["deep/down/y.jpg"]
    assert ImageNames(IMAGES, suffixes=False).find(f"train/y_jpg.rf.{'0a1b2c3d' * 4}") == ["deep/down/y.jpg"]


@pytest.mark.parametrize("key", ["z.jpg", "scan.0002", "", "/", "..", "yy.jpg"])
def test_other_names_find_nothing(key):
    assert ImageNames(IMAGES, suffixes=True).find(key) == []


def test_a_name_that_several_images_have_is_ambiguous():
    assert ImageNames(IMAGES, suffixes=True).find("c/x.jpg") == ["a/x.jpg", "b/x.jpg"]
    assert ImageNames(["x.jpg", "sub/x.jpg"], suffixes=True).find("x.jpg") == ["x.jpg"]


def match(names: list[str], *keys: str) -> Matched[str]:
    claims = [Claim(f"n:{number}", key, [key], key, "1") for number, key in enumerate(keys)]
    return match_claims(ImageNames(names, suffixes=True), claims)


def test_the_stricter_match_wins_and_equal_ones_exclude_the_image():
    matched = match(["sub/a.jpg"], "a.jpg", "sub/a.jpg")
    assert matched.source("sub/a.jpg") == "sub/a.jpg"
    assert [(each.name, each.reason) for each in matched.refusals] == [("a.jpg", "sub/a.jpg already has sub/a.jpg")]
    contested = match(["a.jpg"], "one/a.jpg", "two/a.jpg")
    with pytest.raises(DataError, match=r"claimed by 2 annotations: one/a\.jpg and two/a\.jpg; keep one of them"):
        contested.source("a.jpg")


def test_leniency_and_what_is_left_are_said_once():
    names = [f"{number}.jpg" for number in range(300)]
    assert match(names, *(f"photos/{name}" for name in names)).notes == [
        "300 of 300 annotations matched after the prefix photos/ was dropped."
    ]
    lost = match(names, "0.jpg", "some/where/x.jpg", "y.jpg")
    assert lost.notes == ["2 annotations belong to no image: some/where/x.jpg is wanted; images are named like 0.jpg."]
    assert [each.reason for each in lost.refusals] == ["annotation without an image"] * 2


def test_candidates_are_named_but_not_by_the_hundred():
    (refusal,) = match([f"{number}/x.jpg" for number in range(100)], "x.jpg").refusals
    assert refusal.reason == "could belong to 0/x.jpg, 1/x.jpg, 2/x.jpg or 97 more"


def test_what_cannot_be_opened_is_refused():
    claim = Claim("n:1", "a.xml", ["a"], Path("a.xml"), "")
    matched = match_claims(ImageNames(["a.jpg"], suffixes=False), [claim])
    assert [each.reason for each in matched.refusals] == ["not a regular file that can be opened"]


def test_an_annotation_without_a_name_belongs_to_no_image():
    claim = Claim("n:1", "set.xml: image 0", [], "x", "1")
    matched = match_claims(ImageNames(["a.jpg"], suffixes=True), [claim])
    assert [each.name for each in matched.refusals] == ["set.xml: image 0"]
