"""Each layout of annotation files is recognized by exactly one format."""

from __future__ import annotations

import pytest

from alcli import plugins
from alcli.errors import UsageError
from alcli.platforms.folder import Folder

LAYOUTS = {
    "voc": {"x.xml": "<annotation/>"},
    "class-folders": {"hat/x.jpg": "x", "shoe/y.jpg": "x"},
    "masks": {"classes.txt": "sky\n", "x.png": "x", "sub/y.png": "x"},
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
    assert claims(write_files(tmp_path, LAYOUTS[name])) == [name]


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
