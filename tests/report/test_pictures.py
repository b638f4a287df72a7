from __future__ import annotations

import base64
import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from alcli.annotations import Annotation, Box, Keypoint, Polygon, Pose, in_words
from alcli.errors import DataError
from alcli.report.pictures import class_colors, draw_annotation, picture, with_doubts
from tests.support.drawings import half_mask

COLOURS = {"a": "#ff0000", "b": "#00ff00"}


def decoded(found) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(found.data.removeprefix("data:image/webp;base64,"))))


def test_a_thumbnail_is_small_upright_and_light(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (400, 800, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "x.jpg", exif=_turned())
    found = picture(tmp_path / "x.jpg", None, {}, 200, 20_000, "x\u202e.jpg")
    assert (found.width, found.height) == (100, 200)
    assert decoded(found).size == (100, 200)
    assert len(found.data) < 30_000
    assert found.alt == "x\\u202e.jpg"


def _turned():
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


def test_a_broken_image_is_a_data_error(tmp_path):
    (tmp_path / "x.jpg").write_bytes(b"x")
    with pytest.raises(DataError):
        picture(tmp_path / "x.jpg", None, {}, 100, 1000, "")


def test_what_is_said_is_drawn_where_it_is_in_its_color():
    ground = Image.new("RGB", (100, 80), "gray")
    said = Annotation("x", (Box("a", 100, 40, 180, 120),), (200, 160))
    pixels = np.array(draw_annotation(ground.copy(), said, COLOURS))
    assert pixels[40, 50].tolist() == [255, 0, 0]
    assert pixels[5, 5].tolist() == [128, 128, 128]
    said = Annotation("x", size=(200, 160), poses=(Pose("person", (Keypoint("b", 60, 80),)),))
    assert np.array(draw_annotation(ground.copy(), said, COLOURS))[40, 30].tolist() == [0, 255, 0]
    said = Annotation("x", size=(200, 160), polygons=(Polygon("b", ((20.0, 20.0, 120.0, 20.0, 120.0, 100.0),)),))
    assert np.array(draw_annotation(ground.copy(), said, COLOURS))[10, 30].tolist() == [0, 255, 0]


def has_text(box: Box) -> bool:
    """Whether anything is written inside the box, which has no room above it."""
    pixels = np.array(
        draw_annotation(Image.new("RGB", (100, 60), "black"), Annotation("x", (box,), (100, 60)), COLOURS)
    )
    inside = pixels[2:8, 3:9].astype(int)
    return bool((inside.min(axis=2) > 50).any())


def test_a_box_in_doubt_bears_both_classes_and_is_drawn_once():
    def box(label, score, x=0.0):
        return Box(label, x, 0, x + 10, 10, score)

    said = Annotation("x", (box("a", 0.9, 50), box("a", 0.45), box("b", 0.4), box("a", 0.28, 90), box("b", 0.21, 90)))
    found = with_doubts(said.confident(0.3), said)
    assert [(row.label, row.x1) for row in found.boxes] == [("a", 50), ("a / b?", 0), ("a / b?", 90)]
    # Where there is no room for both names a question mark stands alone.
    assert [has_text(replace(box(label, 0.4), x2=12)) for label in ("a / b?", "a / b")] == [True, False]
    clear = Annotation("x", (box("a", 0.7), box("b", 0.25)))
    assert with_doubts(clear.confident(0.3), clear).boxes == (box("a", 0.7),)


def test_a_small_picture_bears_no_words():
    blank = Image.new("RGB", (160, 120), "white")
    said = Annotation("x", (Box("cell", 20, 40, 120, 100),))
    drawn = [draw_annotation(blank.copy(), said, {"cell": "#0000ff"}, words) for words in (False, True)]
    without, named = map(np.asarray, drawn)
    assert (without[:38] == 255).all() and not (named[:38] == 255).all()
    assert without[40, 60].tolist() == [0, 0, 255]


def test_masks_are_shaded():
    mask = half_mask("a", True, 0)
    ground = Image.new("RGB", mask.size, "black")
    pixels = np.array(draw_annotation(ground, Annotation("x", size=mask.size, masks=(mask,)), COLOURS))
    shaded = (pixels[..., 0] > 60).mean()
    assert 0.3 < shaded < 0.7


def test_words():
    assert in_words(Annotation("x")) == "nothing"
    assert (
        in_words(Annotation("x", (Box("a", 0, 0, 1, 1), Box("b", 0, 0, 1, 1), Box("a", 0, 0, 1, 1)))) == "2 × a, 1 × b"
    )
    assert in_words(Annotation("x", labels=("cat", "dog"), label_scores=(0.62, 0.3))) == "cat 62 %, dog 30 %"
    assert in_words(Annotation("x", labels=("cat",))) == "cat"
    two = (Pose("person", (Keypoint("a", 0, 0), Keypoint("b", 0, 0))), Pose("person", (Keypoint("a", 0, 0),)))
    assert in_words(Annotation("x", poses=two)) == "3 joints of 2 people"
    assert in_words(Annotation("x", poses=two[:1])) == "2 joints of 1 person"
    assert in_words(Annotation("x", masks=(half_mask("a", True, 0),))) == "50 % a"


def test_each_class_has_a_color():
    assert len(set(class_colors([str(n) for n in range(20)]).values())) == 20
    assert len(class_colors([str(n) for n in range(50)])) == 50


def test_words_on_a_large_picture_are_large_unless_the_box_is_narrow():
    def height_of_words(side, width):
        ground = Image.new("RGB", (side, side), (128, 128, 128))
        box = Box("a", side / 2, side / 2, side / 2 + width, side - 10, score=0.75)
        pixels = np.array(draw_annotation(ground, Annotation("x", (box,), (side, side)), COLOURS)).astype(int)
        above = pixels[: side // 2 - 2]
        return int((above.sum(axis=2) < 30).any(axis=1).sum())

    small, large = height_of_words(300, 120), height_of_words(700, 120)
    assert small == height_of_words(700, 45) < large
    assert 1.5 * small < large < 2 * small
