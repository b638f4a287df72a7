from __future__ import annotations

import pytest

from alcli.annotations import Annotation, Box, Keypoint, Polygon
from alcli.errors import DataError
from alcli.formats import yolo


def data_set(tmp_path, text: str, description: str = "names: [cat, dog]") -> yolo.Yolo:
    (tmp_path / "labels" / "train").mkdir(parents=True, exist_ok=True)
    (tmp_path / "data.yaml").write_text(description)
    (tmp_path / "labels" / "train" / "a.txt").write_text(text)
    labels = yolo.Yolo(tmp_path)
    labels.labeled(["train/a.jpg"])
    return labels


def test_what_is_written_is_read_again_in_pixels(tmp_path):
    whole = Annotation(
        "sub/a.jpg",
        (Box("dog", 8, 4, 40, 20), Box("cat", 0, 0, 16, 8)),
        (64, 32),
        polygons=(Polygon("cat", ((8, 4, 16, 4, 16, 12),)),),
    )
    yolo.write(tmp_path, {"sub/a.jpg": whole, "b.jpg": Annotation("b.jpg", size=(8, 8))})
    labels = yolo.Yolo(tmp_path)
    versions, refusals = labels.labeled(["sub/a.jpg", "b.jpg", "c.jpg"])
    assert set(versions) == {"sub/a.jpg", "b.jpg"} and refusals == []
    again = labels.read("sub/a.jpg").in_pixels(64, 32)
    assert (again.boxes, again.polygons) == (whole.boxes, whole.polygons)
    assert labels.read("b.jpg") == Annotation("b.jpg")


@pytest.mark.parametrize("image", ["images/train/a.jpg", "train/a.jpg", "deep/down/a.jpg"])
def test_text_files_find_their_images(tmp_path, image):
    labels = data_set(tmp_path, "")
    versions, refusals = labels.labeled([image, "other.jpg"])
    assert set(versions) == {image} and refusals == []


def test_text_files_without_an_image_are_named(tmp_path):
    _, refusals = data_set(tmp_path, "").labeled(["b.jpg"])
    assert [(refusal.name, refusal.reason) for refusal in refusals] == [
        ("labels/train/a.txt", "annotation without an image")
    ]


def test_joints_follow_their_box(tmp_path):
    description = "names: {0: person}\nkpt_shape: [2, 3]\nkpt_names: {0: [head, tail]}"
    annotation = data_set(tmp_path, "0 0.5 0.5 0.2 0.2 0.45 0.5 2 0 0 0", description).read("train/a.jpg")
    assert annotation.in_pixels(100, 100).poses[0].keypoints == (Keypoint("head", 45, 50),)


BROKEN = {
    "a.txt:2: class '2' is not in data.yaml, which lists 0 to 1": "0 0.5 0.5 0.1 0.1\n2 0.5 0.5 0.1 0.1",
    "a.txt:1: 320 is not relative to the image size": "0 320 0.5 0.1 0.1",
    "a.txt:1: 'x' is not a number": "0 x 0.5 0.1 0.1",
    "a.txt:1: 4 values": "0 0.5 0.5 0.1",
    "a.txt:1: polygon of class 'cat' has 1 points": "0 0.5 0.5",
    "a.txt:1: box (0.5, 0.5, 0.5, 0.6) of class 'cat' has zero area": "0 0.5 0.55 0 0.1",
}


@pytest.mark.parametrize("reason", BROKEN)
def test_errors_name_file_and_line(tmp_path, reason):
    with pytest.raises(DataError) as refused:
        data_set(tmp_path, BROKEN[reason]).read("train/a.jpg")
    assert reason in refused.value.what


@pytest.mark.parametrize(
    "text", ["names: 3", "[a]", "names: {0: a, 2: b}", "names: [a, a]", "a: [", "names: [a]\nkpt_shape: 3"]
)
def test_an_unusable_description_is_refused(tmp_path, text):
    with pytest.raises(DataError, match=r"data\.yaml"):
        data_set(tmp_path, "", text)
