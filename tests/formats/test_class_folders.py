from __future__ import annotations

import pytest

from alcli.annotations import Annotation
from alcli.errors import DataError
from alcli.formats import class_folders
from alcli.formats.class_folders import ClassFolders


def folders(tmp_path, *names: str) -> ClassFolders:
    for name in names:
        path = tmp_path / "labels" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return ClassFolders(tmp_path / "labels")


def test_what_is_written_is_read_again(tmp_path):
    image = tmp_path / "x.jpg"
    image.write_bytes(b"pixels")
    said = {"a.jpg": ("hat",), "b.jpg": ("hat", "shoe"), "sub/c.jpg": ("shoe",)}
    for name, labels in said.items():
        class_folders.write(tmp_path / "labels", name, Annotation(name, labels=labels), image)
    labels = ClassFolders(tmp_path / "labels")
    versions, refusals = labels.labeled([*said, "d.jpg"])
    assert set(versions) == set(said) and refusals == []
    assert {name: labels.read(name).labels for name in said} == said
    assert (tmp_path / "labels/shoe/sub/c.jpg").read_bytes() == b"pixels"


@pytest.mark.parametrize("image", ["hat/a.jpg", "a.jpg", "deep/a.jpg"])
def test_files_find_their_images(tmp_path, image):
    labels = folders(tmp_path, "hat/a.jpg", "hat/b.jpg")
    versions, refusals = labels.labeled([image, "b.jpg"])
    assert set(versions) == {image, "b.jpg"} and refusals == []
    assert labels.read(image).labels == ("hat",)


def test_files_without_an_image_are_named(tmp_path):
    _, refusals = folders(tmp_path, "hat/a.jpg").labeled(["b.jpg", "x/c.jpg", "y/c.jpg"])
    assert {refusal.name: refusal.reason for refusal in refusals} == {"hat/a.jpg": "annotation without an image"}


def test_the_only_image_of_a_class_is_refused_until_there_is_a_second(tmp_path):
    labels = folders(tmp_path, "hat/a.jpg", "shoe/b.jpg", "shoe/c.jpg")
    before, _ = labels.labeled(["a.jpg", "b.jpg", "c.jpg", "d.jpg"])
    with pytest.raises(DataError, match="the only image of the class folder 'hat'"):
        labels.read("a.jpg")
    labels = folders(tmp_path, "hat/d.jpg")
    after, _ = labels.labeled(["a.jpg", "b.jpg", "c.jpg", "d.jpg"])
    assert labels.read("a.jpg").labels == ("hat",)
    assert before["a.jpg"] != after["a.jpg"] and before["b.jpg"] == after["b.jpg"]
