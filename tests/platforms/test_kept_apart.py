"""Files below the image folder that are no images to annotate: alcli's own, masks, sorted copies, lost+found."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from alcli.config import TaskOptions
from alcli.items import Item
from alcli.platforms.folder import Folder
from tests.support.scenes import Photos

NAMES = [f"photo_{number:02d}.jpg" for number in range(12)]


def listing(images: Path, annotations: Path, workspace: Path, task: str) -> tuple[list[str], list[str]]:
    """(names of the items, notes)."""
    platform = Folder(Folder.Options(images=images, annotations=annotations), workspace / "cache")
    platform.set_task(TaskOptions(name=task))
    return sorted(row.name for row in platform.items() if isinstance(row, Item)), list(platform.notes)


def put(photos: Photos, *targets: str) -> None:
    for target in targets:
        (photos.images / target).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(photos.images / NAMES[0], photos.images / target)


def test_the_workspace_among_the_images_holds_no_images(photos):
    workspace = photos.images / "W"
    put(photos, "W/cache/images/a.jpg", "W/cycles/0001/b.png", "W/c.jpg")
    names, notes = listing(photos.images, photos.annotations, workspace, "detection")
    assert names == NAMES
    assert notes == [f"3 image files in the workspace {workspace}: passed over, not images to annotate."]


def test_a_workspace_that_is_the_image_folder_holds_its_photographs_only(photos):
    put(photos, "cache/images/a.jpg", "cycles/0001/b.png", "mine/c.jpg")
    names, notes = listing(photos.images, photos.annotations, photos.images, "detection")
    assert names == ["mine/c.jpg", *NAMES]
    assert notes == [f"2 image files in the workspace {photos.images}: passed over, not images to annotate."]


@pytest.mark.parametrize("task", ["detection", "segmentation", "pose"])
def test_the_folder_of_annotations_among_the_images_holds_no_images(photos, task):
    labels = photos.images / "labels"
    put(photos, "labels/photo_00.png", "labels/preview/other.jpg")
    if task != "segmentation":
        shutil.copy(photos.xml(1), labels / "photo_01.xml")
    (labels / "classes.txt").write_text("hat\n")
    platform = Folder(Folder.Options(images=photos.images, annotations=labels, format="masks"), Path("W/cache"))
    platform.set_task(TaskOptions(name=task))
    assert sorted(item.name for item in platform.items() if isinstance(item, Item)) == NAMES
    assert (
        f"2 image files in the folder of annotations {labels}: passed over, not images to annotate." in platform.notes
    )


def test_sorted_copies_are_labels_and_moved_images_stay_images(photos, tmp_path):
    put(photos, "sorted/hat/photo_00.jpg", "sorted/hat/photo_01.jpg", "sorted/bag/moved.jpg", "sorted/bag/too.jpg")
    labels = photos.images / "sorted"
    platform = Folder(Folder.Options(images=photos.images, annotations=labels), tmp_path / "W/cache")
    platform.set_task(TaskOptions(name="classification"))
    items = {row.name: row.state for row in platform.items() if isinstance(row, Item)}
    assert sorted(items) == [*NAMES, "sorted/bag/moved.jpg", "sorted/bag/too.jpg"]
    labeled = sorted(name for name, state in items.items() if state == "labeled")
    assert labeled == ["photo_00.jpg", "photo_01.jpg", "sorted/bag/moved.jpg", "sorted/bag/too.jpg"]
    assert (
        f"2 image files in the folder of annotations {labels}: passed over, not images to annotate." in platform.notes
    )


def test_images_that_all_lie_in_the_folder_of_annotations_are_images(photos, tmp_path):
    put(photos, "hat/a.jpg", "bag/b.jpg")
    for name in NAMES:
        (photos.images / name).unlink()
    names, notes = listing(photos.root, photos.images, tmp_path / "W", "classification")
    assert (names, notes) == (["images/bag/b.jpg", "images/hat/a.jpg"], [])


def test_lost_and_found_is_passed_over_and_said_once(alcli, workspace, photos):
    (photos.images / "lost+found").mkdir(mode=0o000)
    shutil.copytree(photos.images / "lost+found", photos.images / "disk/lost+found") if os.getuid() == 0 else None
    code, out, err = alcli("pull", "-w", workspace)
    assert code == 0, err
    assert (out + err).count("lost+found is not entered") == (2 if os.getuid() == 0 else 1)
    assert "12 images" in out + err or "12 items" in out + err
