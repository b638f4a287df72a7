"""The same exports in other layouts, spellings and versions: right values, or one message that names the mend."""

from __future__ import annotations

import json

import pytest

from alcli.annotations import Annotation, Box, Keypoint, Polygon, Pose, object_counts
from tests.test_field_cases import CAT, CAT_LINE, HEIGHT, SIZE, WIDTH, Case, case, cats, coco, voc

__all__ = ["case"]

DOG_LINE = f"{70 / WIDTH} {35 / HEIGHT} {40 / WIDTH} {30 / HEIGHT}"
CAT_ROW = f"0 {CAT_LINE}\n"
NAMES = "train: images\nnames: [cat, dog]\n"
HASH = "0123456789abcdef0123456789abcdef"
RING = [10, 10, 40, 10, 40, 40, 10, 40]
SHARES = " ".join(f"{value / (HEIGHT if i % 2 else WIDTH)}" for i, value in enumerate(RING))

YOLO = {
    "an archive in its own folder": {
        "ann/My Project.v2i/train/labels/a.txt": CAT_ROW,
        "ann/My Project.v2i/data.yaml": NAMES,
    },
    "CVAT's archive in its own folder": {
        "ann/task 3/obj_train_data/a.txt": CAT_ROW,
        "ann/task 3/obj.names": "cat\ndog\n",
        "ann/task 3/train.txt": "data/obj_train_data/a.jpg\n",
    },
    "a subset of CVAT with a name of its own": {
        "ann/obj_Validation_data/a.txt": CAT_ROW,
        "ann/obj.names": "cat\r\ndog\r\n",
        "ann/Validation.txt": "data/obj_Validation_data/a.jpg\n",
    },
    "labels.txt": {"ann/a.txt": CAT_ROW, "ann/labels.txt": "cat\ndog\n"},
    "capitals": {"ann/a.TXT": CAT_ROW, "ann/Classes.txt": "cat\ndog\n"},
    "numbers of classes as text": {
        "ann/labels/a.txt": CAT_ROW,
        "ann/data.yaml": "train: x\nnames: {'0': cat, '1': dog}\n",
    },
    "notes that come first": {"ann/AAA notes.txt": "cats only\n", "ann/a.txt": CAT_ROW, "ann/classes.txt": "cat\ndog"},
    "a log among the labels": {"ann/a.txt": CAT_ROW, "ann/log.txt": "2024-01-01 done\n", "ann/classes.txt": "cat\ndog"},
    "commas": {"ann/a.txt": CAT_ROW.replace(" ", ",") + ",\n", "ann/classes.txt": "cat\ndog"},
}


@pytest.mark.parametrize("what", YOLO)
def test_yolo_in_another_layout(case: Case, what: str) -> None:
    case.picture("images/a.jpg", "images/b.jpg")
    for name, content in YOLO[what].items():
        case.text(name, content)
    assert case.pull()[0] == 0
    assert case.boxes() == cats("a.jpg")


@pytest.mark.parametrize("folder", ["set/train/labels", "set/obj_train_data", "set/labels/train", "set/labels"])
def test_only_the_labels_of_a_yolo_set_are_named(case: Case, folder: str) -> None:
    case.picture("images/a.jpg", "images/b.jpg").text(f"{folder}/a.txt", CAT_ROW).text("set/data.yaml", NAMES)
    assert case.pull("images", folder)[0] == 0
    assert case.boxes() == cats("a.jpg")


@pytest.mark.parametrize("names", [("coco.yaml", "mine.yaml"), ("b1/classes.txt", "b2/classes.txt")])
def test_class_lists_that_contradict_each_other_are_refused(case: Case, names: tuple[str, str]) -> None:
    case.picture("images/a.jpg").text("ann/labels/a.txt", CAT_ROW)
    for name, classes in zip(names, (["cat", "dog"], ["dog", "cat"]), strict=True):
        case.text(f"ann/{name}", f"train: x\nnames: {classes}\n" if name.endswith("yaml") else "\n".join(classes))
    code, _, err = case.pull()
    assert code == 2 and "name different classes" in err and names[0] in err and names[1] in err


def test_texts_in_utf_16(case: Case) -> None:
    case.picture("images/a.jpg", "images/b.jpg").text("ann/a.txt", "")
    (case.root / "ann/a.txt").write_bytes(CAT_ROW.encode("utf-16"))
    (case.root / "ann/classes.txt").write_bytes("cat\r\ndog\r\n".encode("utf-16"))
    assert case.pull()[0] == 0
    assert case.boxes() == cats("a.jpg")


def test_detection_reads_the_box_of_a_person_without_marked_joints(case: Case) -> None:
    case.picture("images/a.jpg").text("ann/labels/a.txt", f"0 {CAT_LINE} 0 0 0 0 0 0\n")
    case.text("ann/data.yaml", f"{NAMES}kpt_shape: [2, 3]\n")
    assert case.pull()[0] == 0
    assert case.boxes() == cats("a.jpg")


def test_a_polygon_at_the_border_stays_a_polygon(case: Case) -> None:
    case.picture("images/a.jpg").text("ann/labels/a.txt", "0 0 0 1 0 1 1 0 1\n").text("ann/data.yaml", NAMES)
    assert case.pull()[0] == 0
    assert case.boxes() == {"a.jpg": [("cat", 0, 0, *SIZE)]}


@pytest.mark.parametrize("bbox", [[], [0, 0, 0, 0], None])
def test_an_empty_box_beside_an_outline_is_none(case: Case, bbox: object) -> None:
    case.picture("images/a.jpg").text("ann.json", coco(["a.jpg"], bbox=bbox, segmentation=[RING]))
    assert case.pull("images", "ann.json")[0] == 0
    assert case.boxes() == cats("a.jpg")


def test_detection_ignores_what_is_wrong_with_the_names_of_joints(case: Case) -> None:
    document = coco(["a.jpg"])
    document["categories"][0]["keypoints"] = "none"
    case.picture("images/a.jpg").text("ann.json", document)
    assert case.pull("images", "ann.json")[0] == 0
    assert case.boxes() == cats("a.jpg")


def test_an_object_with_box_and_outline_counts_once_and_joints_are_no_classes(case: Case) -> None:
    document = coco(["a.jpg"], bbox=[], segmentation=[RING], keypoints=[10, 10, 2])
    document["categories"][0]["keypoints"] = ["nose"]
    case.picture("images/a.jpg").text("ann.json", document)
    assert "1 image, 1 annotated (COCO) · cat 1\n" in case.pull("images", "ann.json")[1]
    box, polygon = Box("cat", *CAT), Polygon("cat", (tuple(RING),))
    pose = Pose("cat", (Keypoint("nose", 1, 1),))
    assert object_counts([Annotation("a", (box,), polygons=(polygon, polygon), poses=(pose,))]) == {"cat": 2, "nose": 1}


def test_web_addresses_with_a_query(case: Case) -> None:
    names = ["https://s3.example.com/b/a%20b.jpg?X-Amz=1&name=c.jpg", "gs://bucket/d.jpg"]
    case.picture("images/a b.jpg", "images/d.jpg", "images/c.jpg").text("ann.json", coco(names))
    assert case.pull("images", "ann.json")[0] == 0
    assert case.boxes() == cats("a b.jpg", "d.jpg")


def test_xml_of_another_name_is_found_by_its_filename(case: Case) -> None:
    case.picture("images/a.jpg", "images/b.jpg").text("ann/1.xml", voc("a.jpg")).text("ann/pom.xml", "<project/>")
    code, _, err = case.pull()
    assert code == 0 and "1 annotation matched by <filename>." in err
    assert case.boxes() == cats("a.jpg")


def test_the_name_of_the_xml_counts_before_its_filename(case: Case) -> None:
    case.picture("images/a.jpg", "images/b.jpg").text("ann/a.xml", voc("b.jpg")).text("ann/b.xml", voc("a.jpg"))
    case.text("ann/copy.xml", voc("a.jpg"))
    code, _, err = case.pull()
    assert code == 3 and "copy.xml: a.jpg already has a.xml" in err
    assert case.boxes() == cats("a.jpg", "b.jpg")


TABLES = {
    "tabs in a .tsv": ("ann.tsv", "name\tlabel\na.jpg\tcat\nb.jpg\tdog\n"),
    "bars": ("ann.csv", "name|label\na.jpg|cat\nb.jpg|dog\n"),
    "ids": ("ann.csv", "id,label\na,cat\nb,dog\n"),
    "a path beside an id": ("ann.csv", "image_id,image_path,label\n1,images/a.jpg,cat\n2,images/b.jpg,dog\n"),
    "Label Studio": ("ann.csv", "annotator,choice,image\n1,cat,/data/upload/1/1a2b3c4d-a.jpg\n1,dog,b.jpg\n"),
    "Roboflow's folders": ("ann/train/_classes.csv", "filename, cat, dog\na.jpg, 1, 0\nb.jpg, 0, 1\n"),
}


@pytest.mark.parametrize("what", TABLES)
def test_tables_of_other_tools(case: Case, what: str) -> None:
    name, content = TABLES[what]
    case.picture("images/a.jpg", "images/b.jpg", "images/c.jpg").text(name, content)
    assert case.pull("images", name.partition("/")[0], "--task", "classification")[0] == 0
    assert {name: each.labels for name, each in case.annotations().items()} == {"a.jpg": ("cat",), "b.jpg": ("dog",)}


def test_a_column_of_numbers_is_no_table_of_classes(case: Case) -> None:
    case.picture("images/a.jpg", "images/b.jpg").text("ann.csv", "image,labels\na.jpg,1\nb.jpg,2\n")
    assert case.pull("images", "ann.csv", "--task", "classification")[0] == 0
    assert {name: each.labels for name, each in case.annotations().items()} == {"a.jpg": ("1",), "b.jpg": ("2",)}
    case.text("age.csv", "image,age\na.jpg,1\nb.jpg,0\n")
    code, _, err = case.call("init", case.root / "V", "--images", case.root / "images", "--task", "classification",
                             "--annotations", case.root / "age.csv")  # fmt: skip
    assert code == 5 and "there is no column label" in err


def test_masks_whose_names_say_that_they_are_masks(case: Case) -> None:
    case.picture("images/a.jpg", "images/b.jpg").mask("ann/a_mask.png", 1).mask("ann/b_L.png", 1)
    case.text("ann/classes.txt", "ground\ncrack\n").text("ann/todo.txt", "more cracks\n")
    assert case.pull("images", "ann", "--task", "segmentation")[0] == 0
    assert [each.masks[1].pixels().sum() for each in case.annotations().values()] == [900, 900]


def test_masks_and_images_below_one_folder(case: Case) -> None:
    case.picture("set/images/a.png", "set/images/b.png").mask("set/labels/a_L.png", 1)
    case.text("set/classes.txt", "ground\ncrack\n")
    code, _, err = case.pull("set", "set", "--task", "segmentation")
    assert code == 2 and "holds images and masks" in err and "Give the images their own folder" in err
    assert case.pull("set/images", "set", "--task", "segmentation")[0] == 0
    assert {name: each.masks[1].pixels().sum() for name, each in case.annotations().items()} == {"a.png": 900}


def test_masks_and_copies_among_the_images_are_not_asked_for(case: Case) -> None:
    names = ("VOC/JPEGImages/a.jpg", "VOC/SegmentationClass/a.png", "VOC/SegmentationObject/a.png", "VOC/masks/b.png")
    case.picture(*names, "VOC/@eaDir/a.jpg/THUMB.jpg", "VOC/__MACOSX/a.jpg").text("VOC/Annotations/a.xml", voc("a.jpg"))
    code, _, err = case.pull("VOC", "VOC")
    assert code == 0 and "2 overlays and masks among the images are no images to annotate." in err
    assert case.boxes() == cats("JPEGImages/a.jpg")
    document = json.loads(case.run("list", "items", "--json")[1])
    assert "2 images" in case.run("pull")[1] and "masks/b.png" in json.dumps(document)


def test_an_image_of_an_unread_kind_is_named(case: Case) -> None:
    case.picture("images/a.jpg").text("images/e.HEIC", "x").text("ann/a.xml", voc("a.jpg")).text("ann/e.xml", voc(""))
    code, _, err = case.pull()
    assert code == 3 and "e.xml: e.HEIC is of a kind that alcli does not read" in err


FOREIGN = {
    "LabelMe": ("ann/a.json", {"shapes": [], "imagePath": "a.jpg"}, "JSON of LabelMe"),
    "the VGG Image Annotator": ("ann.json", {"a.jpg1": {"filename": "a.jpg", "regions": []}}, "VGG Image Annotator"),
    "CreateML": ("ann/a.json", [{"image": "a.jpg", "annotations": []}], "JSON of CreateML"),
    "Label Studio's short export": ("ann.json", [{"image": "a.jpg", "annotator": 1}], "JSON-MIN"),
    "results": ("ann.json", [{"image_id": 1, "category_id": 1, "score": 1}], "objects without their images"),
    "COCO without categories": ("ann/a.json", {"images": [], "annotations": []}, "without its list of categories"),
    "a table of boxes": ("ann.csv", "filename,class,xmin,ymin,xmax,ymax\na.jpg,cat,1,1,2,2\n", "a table of boxes"),
    "DOTA": ("ann/a.txt", "gsd:1\n1 1 2 1 2 2 1 2 plane 0\n", "text of DOTA"),
    "names for numbers": ("ann/a.txt", f"cat {CAT_LINE}\n", "names of classes instead of their numbers"),
}


@pytest.mark.parametrize("what", FOREIGN)
def test_layouts_that_are_not_read_are_named(case: Case, what: str) -> None:
    name, content, words = FOREIGN[what]
    case.picture("images/a.jpg").text(name, content)
    code, _, err = case.pull("images", name.partition("/")[0])
    assert code in (2, 5) and words in err and "Export it as COCO, YOLO or Pascal VOC" in err


def test_a_folder_too_high_is_answered_with_the_right_one(case: Case) -> None:
    case.picture("images/a.jpg", "ann/export/cat/a.jpg", "ann/export/dog/b.jpg")
    code, _, err = case.pull("images", "ann", "--task", "classification")
    assert code == 2 and f"--annotations {case.root}/ann/export" in err


def test_init_says_what_cannot_be_used_and_what_is_passed_over(case: Case) -> None:
    document = coco(["a.jpg", "b.jpg"])
    document["annotations"][0] |= {"iscrowd": 1, "segmentation": [RING]}
    document["annotations"][1]["bbox"] = ["x", 1, 2, 3]
    out = case.picture("images/a.jpg", "images/b.jpg").text("ann.json", document).call(
        "init", case.root / "W", "--images", case.root / "images", "--annotations", case.root / "ann.json"
    )[1]  # fmt: skip
    assert "Passed over: 1 crowd region · 1 cannot be used" in out
    assert "Cannot be used: b.jpg: annotations[1].bbox[0]: 'x' is not a number" in out
