from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from alcli.annotations import IGNORED, Annotation
from alcli.errors import DataError
from alcli.formats import masks
from alcli.formats.masks import Masks
from alcli.tasks._label_maps import label_map


def folder(tmp_path, numbers: np.ndarray | None, listing: str = "sky\nroad\n") -> Masks:
    (tmp_path / "classes.txt").write_text(listing)
    if numbers is not None:
        Image.fromarray(numbers).save(tmp_path / "a.png")
    return Masks(tmp_path)


def test_what_is_written_is_read_again(tmp_path):
    numbers = np.random.default_rng(0).integers(0, 2, (6, 9)).astype(np.uint8)
    numbers[0, 0] = 11
    labels = folder(tmp_path, numbers)
    versions, refusals = labels.labeled(["a.jpg", "b.jpg"])
    assert set(versions) == {"a.jpg"} and refusals == []
    said = labels.read("a.jpg")
    assert said.size == (9, 6) and said.class_names() == {"sky", "road"}
    (tmp_path / "again").mkdir()
    masks.write(tmp_path / "again", "sub/a.jpg", said, ("sky", "road"))
    again = Masks(tmp_path / "again")
    again.labeled(["sub/a.jpg"])
    assert again.read("sub/a.jpg").masks == said.masks
    assert (label_map(said, (9, 6), ("sky", "road"), 11) == np.where(numbers == 11, 255, numbers)).all()


def test_ids_beyond_the_list_keep_their_number(tmp_path):
    labels = folder(tmp_path, np.full((4, 4), 7, dtype=np.uint8))
    labels.labeled(["a.jpg"])
    mask = labels.read("a.jpg").masks[0]
    assert (mask.label, mask.pixel_id) == (IGNORED, 7)


def test_a_new_class_list_is_a_new_version(tmp_path):
    before = folder(tmp_path, np.zeros((4, 4), dtype=np.uint8)).labeled(["a.jpg"])[0]
    assert folder(tmp_path, None, "sky\nstreet\n").labeled(["a.jpg"])[0] != before


def test_masks_without_an_image_are_named(tmp_path):
    _, refusals = folder(tmp_path, np.zeros((4, 4), dtype=np.uint8)).labeled(["b.jpg"])
    assert [(refusal.name, refusal.reason) for refusal in refusals] == [("a.png", "mask without an image")]


@pytest.mark.parametrize("listing", ["", "sky\n\nroad\n", "sky\nsky\n"])
def test_an_unusable_class_list_is_refused(tmp_path, listing):
    with pytest.raises(DataError, match=r"classes\.txt"):
        folder(tmp_path, None, listing).labeled([])


def test_files_that_are_no_masks_are_refused(tmp_path):
    labels = folder(tmp_path, np.zeros((4, 4, 3), dtype=np.uint8))
    labels.labeled(["a.jpg"])
    with pytest.raises(DataError, match=r"a\.png: a color image \(RGB\)"):
        labels.read("a.jpg")
    (tmp_path / "a.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"a\.png: cannot be decoded"):
        labels.read("a.jpg")


def test_nothing_to_write_is_said(tmp_path):
    with pytest.raises(DataError, match="no masks"):
        masks.write(tmp_path, "a.jpg", Annotation("a.jpg"), ("sky",))


def color_masks(tmp_path, color: tuple[int, int, int]) -> Masks:
    """CVAT's segmentation masks: a.png with 30 by 30 pixels of a color, and its masks of objects."""
    pixels = np.zeros((64, 96, 3), dtype=np.uint8)
    pixels[10:40, 10:40] = color
    for name in ("SegmentationClass", "SegmentationObject"):
        (tmp_path / name).mkdir()
        Image.fromarray(pixels).save(tmp_path / name / "a.png")
    (tmp_path / "labelmap.txt").write_text("# label:color_rgb:parts:actions\nbackground:0,0,0::\ncrack:184,61,245::\n")
    return Masks(tmp_path)


def test_masks_in_color_are_read_by_their_label_map(tmp_path):
    labels = color_masks(tmp_path, (184, 61, 245))
    assert Masks.recognizes(tmp_path)
    versions, refusals = labels.labeled(["a.png", "b.png"])
    assert set(versions) == {"a.png"} and refusals == []
    areas = {mask.label: int(mask.pixels().sum()) for mask in labels.read("a.png").masks}
    assert areas == {"background": 96 * 64 - 900, "crack": 900}


def test_a_color_that_the_label_map_lacks_is_refused(tmp_path):
    labels = color_masks(tmp_path, (1, 2, 3))
    labels.labeled(["a.png"])
    with pytest.raises(DataError, match=r"a\.png: the color 1,2,3 is not in labelmap\.txt"):
        labels.read("a.png")


def test_roboflows_masks_are_read(tmp_path):
    (tmp_path / "train").mkdir()
    numbers = np.zeros((64, 96), dtype=np.uint8)
    numbers[10:40, 10:40] = 1
    Image.fromarray(numbers).save(tmp_path / "train" / "a_mask.png")
    (tmp_path / "train" / "_classes.csv").write_text("Pixel Value, Class\n0, background\n1, crack\n")
    (tmp_path / "README.roboflow.txt").write_text("x")
    assert Masks.recognizes(tmp_path)
    labels = Masks(tmp_path)
    versions, refusals = labels.labeled(["train/a.jpg", "train/b.jpg"])
    assert set(versions) == {"train/a.jpg"} and refusals == []
    areas = {mask.label: int(mask.pixels().sum()) for mask in labels.read("train/a.jpg").masks}
    assert areas == {"background": 96 * 64 - 900, "crack": 900}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("labelmap.txt", "sky\n"),
        ("labelmap.txt", "sky:1,2,300::\n"),
        ("labelmap.txt", "sky:1,2,3::\nroad:1,2,3::\n"),
        ("_classes.csv", "Pixel Value, Class\n0, sky\n2, road\n"),
        ("_classes.csv", "Pixel Value, Class\nx, sky\n"),
    ],
)
def test_other_class_lists_that_cannot_be_used_are_refused(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=name.replace(".", r"\.")):
        Masks(tmp_path).labeled([])
