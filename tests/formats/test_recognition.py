"""Each layout of annotation files is recognized by exactly one format."""

from __future__ import annotations

import pytest

from alcli import plugins
from alcli.config import TaskOptions
from alcli.errors import UsageError
from alcli.platforms.folder import Folder

LAYOUTS = {
    "voc": {"x.xml": "<annotation/>"},
    "class-folders": {"hat/x.jpg": "x", "shoe/y.jpg": "x"},
    "masks": {"classes.txt": "sky\n", "x.png": "x", "sub/y.png": "x"},
    "class-folders in splits": {"train/hat/x.jpg": "x", "train/shoe/y.jpg": "x", "test/hat/z.jpg": "x"},
    "yolo": {"data.yaml": "names: [a]", "labels/x.txt": "", "images/x.jpg": "x", "classes": ""},
}


def write_files(root, files: dict[str, str]):
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def claims(path) -> list[str]:
    return [name for name in plugins.names("formats") if plugins.load("formats", name).recognizes(path)]


@pytest.mark.parametrize("name", LAYOUTS)
def test_folders_are_claimed_by_one_format(tmp_path, name):
    assert claims(write_files(tmp_path, LAYOUTS[name])) == [name.split(" ")[0]]


@pytest.mark.parametrize(("file", "name"), [("x.json", "coco"), ("x.csv", "csv-labels"), ("data.yaml", "yolo")])
def test_files_are_claimed_by_one_format(tmp_path, file, name):
    assert claims(write_files(tmp_path, {file: ""}) / file) == [name]


def test_an_empty_folder_waits_for_voc(tmp_path):
    assert claims(tmp_path) == []
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.jpg").write_bytes(b"x")
    (tmp_path / "labels").mkdir()
    platform = Folder(Folder.Options(images=tmp_path / "images", annotations=tmp_path / "labels"), tmp_path)
    assert [item.state for item in platform.items()] == ["unlabeled"]


def test_two_claims_are_a_question(tmp_path):
    root = write_files(tmp_path / "labels", {**LAYOUTS["masks"], **LAYOUTS["voc"]})
    platform = Folder(Folder.Options(images=tmp_path, annotations=root), tmp_path)
    with pytest.raises(UsageError, match="could be masks or voc"):
        list(platform.items())


def choose(path, task: str):
    platform = Folder(Folder.Options(images=path.parent, annotations=path), path)
    platform.set_task(TaskOptions(name=task))
    return platform


NOT_RECOGNIZED = {
    "a YOLO set is no class folders": (
        "classification",
        {"images/x.jpg": "x", "labels/x.txt": "0 0.5 0.5 0.1 0.1"},
        "looks like yolo, which the task classification cannot use",
    ),
    "class folders are not for detection": (
        "detection",
        LAYOUTS["class-folders"],
        "looks like class-folders, which the task detection cannot use",
    ),
    "boxes are not for segmentation": ("segmentation", LAYOUTS["voc"], "looks like voc"),
    "masks need a class list": (
        "segmentation",
        {"x.png": "x", "y.png": "x"},
        "holds 2 .png, but no annotations that alcli can read: PNG masks need classes.txt",
    ),
    "a class list alone is no mask": ("segmentation", {"classes.txt": "sky"}, "holds 1 .txt, but no annotations"),
    "folders of masks are no classes": (
        "classification",
        {"SegmentationClass/x.png": "x", "labelmap.txt": "x"},
        "holds 1 .png, 1 .txt, but no annotations",
    ),
    "other text files": ("detection", {"a.txt": "Car 1 2 3 4 5", "b.txt": "x"}, "holds 2 .txt, but no annotations"),
}


@pytest.mark.parametrize("what", NOT_RECOGNIZED)
def test_what_no_format_recognizes_is_said_and_not_waited_for(tmp_path, what):
    task, files, message = NOT_RECOGNIZED[what]
    with pytest.raises(UsageError) as refused:
        list(choose(write_files(tmp_path / "labels", files), task).items())
    assert message in refused.value.what


def test_a_queue_alone_is_no_annotation(tmp_path):
    labels = write_files(tmp_path / "labels", {"queue.csv": "position,name", ".gitkeep": ""})
    (tmp_path / "a.jpg").write_bytes(b"x")
    assert [item.state for item in choose(labels, "detection").items()] == ["unlabeled"]


def test_a_task_of_another_package_may_use_every_format(tmp_path):
    root = write_files(tmp_path / "labels", LAYOUTS["class-folders"])
    (tmp_path / "x.jpg").write_bytes(b"x")
    assert {item.state for item in choose(root, "counting").items()} >= {"labeled"}
