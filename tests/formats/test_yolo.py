from __future__ import annotations

import pytest

from alcli.annotations import Annotation, Box, Keypoint, Polygon
from alcli.errors import DataError, UsageError
from alcli.formats import Purpose, yolo


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


def label_files(tmp_path, **files: str) -> yolo.Yolo:
    """A folder of labels of a.jpg and b.jpg, with these files by their names without suffix."""
    for name, text in {"a": "0 0.26 0.39 0.31 0.47\n", "b": "1 0.26 0.39 0.31 0.47\n", **files}.items():
        (tmp_path / f"{name}.txt").write_text(text)
    return yolo.Yolo(tmp_path)


BOX = (pytest.approx(0.105), pytest.approx(0.155), pytest.approx(0.415), pytest.approx(0.625))


def boxes(labels: yolo.Yolo, name: str) -> list[tuple[str, tuple[float, ...]]]:
    return [(box.label, (box.x1, box.y1, box.x2, box.y2)) for box in labels.read(name).boxes]


def check_cat_and_dog(labels: yolo.Yolo) -> None:
    versions, refusals = labels.labeled(["a.jpg", "b.jpg", "c.jpg"])
    assert set(versions) == {"a.jpg", "b.jpg"} and refusals == []
    assert boxes(labels, "a.jpg") == [("cat", BOX)]
    assert boxes(labels, "b.jpg") == [("dog", BOX)]


def test_labels_with_a_class_list_are_read(tmp_path):
    labels = label_files(tmp_path, classes="cat\ndog\n")
    assert yolo.Yolo.recognizes(tmp_path)
    check_cat_and_dog(labels)


@pytest.mark.parametrize("name", ["coco8.yaml", "dataset.yml"])
def test_a_description_may_have_another_name(tmp_path, name):
    (tmp_path / "labels").mkdir()
    label_files(tmp_path / "labels")
    (tmp_path / name).write_text("path: .\ntrain: images\nnames: {0: cat, 1: dog}\n")
    (tmp_path / "compose.yaml").write_text("names: [x, y]\n")
    assert yolo.Yolo.recognizes(tmp_path)
    check_cat_and_dog(yolo.Yolo(tmp_path))


def test_the_folder_of_labels_may_be_given(tmp_path):
    (tmp_path / "labels").mkdir()
    label_files(tmp_path / "labels")
    (tmp_path / "data.yaml").write_text("names: [cat, dog]\n")
    assert yolo.Yolo.recognizes(tmp_path / "labels")
    check_cat_and_dog(yolo.Yolo(tmp_path / "labels"))


def test_a_cvat_export_is_read(tmp_path):
    (tmp_path / "obj_train_data").mkdir()
    label_files(tmp_path / "obj_train_data")
    (tmp_path / "obj.names").write_text("cat\ndog\n")
    (tmp_path / "obj.data").write_text("classes = 2\ntrain = data/train.txt\nnames = data/obj.names\n")
    (tmp_path / "train.txt").write_text("data/obj_train_data/a.jpg\ndata/obj_train_data/b.jpg\n")
    assert yolo.Yolo.recognizes(tmp_path)
    labels = yolo.Yolo(tmp_path)
    check_cat_and_dog(labels)
    assert labels.notes == []


def test_the_tasks_classes_name_the_numbers(tmp_path):
    labels = label_files(tmp_path)
    assert yolo.Yolo.recognizes(tmp_path)
    with pytest.raises(UsageError, match="look like YOLO labels, but nothing names the classes") as refused:
        labels.labeled(["a.jpg"])
    assert "--classes cat,dog" in refused.value.do
    labels.purpose = Purpose("detection", ("cat", "dog"))
    check_cat_and_dog(labels)


def test_text_files_that_are_no_labels_are_none(tmp_path):
    assert not yolo.Yolo.recognizes(label_files(tmp_path, a="Car 0.0 1 2 3 4 5\n", b="hello\n")._path)


def test_a_class_list_among_the_labels_is_no_annotation(tmp_path):
    labels = data_set(tmp_path, "0 0.26 0.39 0.31 0.47")
    (tmp_path / "labels" / "classes.txt").write_text("cat\ndog\n")
    versions, refusals = labels.labeled(["train/a.jpg", "b.jpg"])
    assert set(versions) == {"train/a.jpg"} and refusals == []


@pytest.mark.parametrize(("number", "name"), [("0.0", "cat"), ("1.000000000000000000e+00", "dog"), ("1e0", "dog")])
def test_class_numbers_may_be_written_as_decimals(tmp_path, number, name):
    assert boxes(data_set(tmp_path, f"{number} 0.26 0.39 0.31 0.47"), "train/a.jpg") == [(name, BOX)]


def test_a_sixth_column_is_a_confidence_and_said(tmp_path):
    labels = data_set(tmp_path, "0 0.26 0.39 0.31 0.47 0.9\n1 0.26 0.39 0.31 0.47 0.8\n")
    assert boxes(labels, "train/a.jpg") == [("cat", BOX), ("dog", BOX)]
    assert labels.notes == ["2 lines have a sixth column, taken as a confidence and not used."]


def test_a_polygon_gives_detection_its_hull_within_the_image(tmp_path):
    text = "0 0.26 0.39 0.31 0.47\n1 0.80 0.10 1.04 0.15 0.97 0.40 0.75 0.35"
    labels = data_set(tmp_path, text)
    labels.purpose = Purpose("detection")
    assert boxes(labels, "train/a.jpg") == [("cat", BOX), ("dog", (0.75, 0.10, 1.0, 0.40))]
    assert labels.read("train/a.jpg").polygons[0].rings[0][2] == 1.04


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
