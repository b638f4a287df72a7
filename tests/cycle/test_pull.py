"""What a pull says about the annotations that it reads, and when it refuses all of them."""

from __future__ import annotations

import json

import pytest

from alcli.annotations import CROWD, PassedOver
from alcli.workspace import Workspace


def pull_document(alcli, workspace, *options: str) -> dict:
    return json.loads(alcli("pull", "-w", workspace, "--json", *options)[1])


def rename_annotations(photos) -> None:
    for path in sorted(photos.annotations.glob("*.xml")):
        path.write_text(path.read_text().replace(f"<filename>{path.stem}", f"<filename>scan_{path.stem}"))
        path.rename(path.with_stem(f"scan_{path.stem}"))


def test_annotations_of_which_none_has_an_image_stop_the_run(alcli, workspace, photos):
    rename_annotations(photos)
    code, out, err = alcli("pull", "-w", workspace)
    assert (code, out) == (5, "")
    assert "None of the 8 annotations belongs to an image, such as scan_photo_00.xml" in err
    assert "images are named like photo_00.jpg" in err and "--allow-cold-start" in err
    assert alcli("cycle", "-w", workspace)[0] == 5
    assert not (photos.queue).exists()
    code, out, _ = alcli("health", "-w", workspace)
    assert code == 5 and "None of the 8 annotations belongs to an image" in out


def test_a_cold_start_may_be_wanted_all_the_same(alcli, workspace, photos):
    rename_annotations(photos)
    code, out, _ = alcli("cycle", "-w", workspace, "--allow-cold-start")
    assert code == 3 and "nothing to train on yet" in out
    assert (photos.queue).exists()


def test_what_was_pulled_stays_when_the_annotations_lose_their_images(alcli, workspace, photos):
    alcli("pull", "-w", workspace)
    rename_annotations(photos)
    assert alcli("pull", "-w", workspace)[0] == 5
    assert Workspace.open(workspace, read_only=True).store.counts()["labeled"] == 8


def test_an_empty_folder_of_annotations_is_a_cold_start(alcli, workspace, photos):
    for path in photos.annotations.glob("*.xml"):
        path.unlink()
    code, out, _ = alcli("cycle", "-w", workspace, "--accept-shrink")
    assert code == 0 and "nothing to train on yet" in out


def test_a_new_class_is_said_but_not_at_the_first_pull(alcli, workspace, photos):
    code, _, err = alcli("pull", "-w", workspace)
    assert code == 0 and "New class" not in err
    photos.write_xml(photos.name(8).removesuffix(".jpg"), ("Eosinophil", "1", "2", "30", "40"))
    code, _, err = alcli("pull", "-w", workspace)
    assert code == 0 and "New class: Eosinophil, 1 image. A typo? task.classes pins the list." in err
    assert "New class" not in alcli("pull", "-w", workspace)[2]


def test_new_classes_are_counted_by_image(alcli, workspace, photos):
    alcli("pull", "-w", workspace)
    for number in (8, 9):
        box = ("Eosinophil", "1", "2", "30", "40")
        photos.write_xml(photos.name(number).removesuffix(".jpg"), box, box)
    assert pull_document(alcli, workspace)["new_classes"] == [{"name": "Eosinophil", "images": 2}]


def test_a_pinned_list_needs_no_word_about_new_classes(alcli, workspace, photos):
    alcli("pull", "-w", workspace)
    photos.write_xml(photos.name(8).removesuffix(".jpg"), ("Eosinophil", "1", "2", "30", "40"))
    pinned = ("--set", "task.classes=red,green,blue")
    assert pull_document(alcli, workspace, *pinned)["new_classes"] == []


@pytest.fixture
def crowded(photos):
    """A COCO file of three images: a crowd beside a box, a crowd alone, and nothing."""
    photos.annotations = photos.coco([0, 1, 2])
    document = json.loads(photos.annotations.read_text())
    images = [image["id"] for image in document["images"]]
    crowd = {"category_id": 1, "iscrowd": 1, "bbox": [1, 2, 30, 40], "segmentation": [[1, 2, 31, 2, 31, 42]]}
    kept = [entry for entry in document["annotations"] if entry["image_id"] == images[0]][:1]
    document["annotations"] = [*kept, *({**crowd, "id": 90 + i, "image_id": i} for i in images[:2])]
    photos.annotations.write_text(json.dumps(document))
    return photos


def test_what_is_passed_over_is_counted_in_every_pull(alcli, crowded, tmp_path):
    alcli("init", tmp_path / "W", "--images", crowded.images, "--annotations", crowded.annotations)
    expected = {"passed_over": [{"kind": CROWD, "count": 2}], "empty": 1, "absent_classes": [], "ignored_masks": 0}
    first = pull_document(alcli, tmp_path / "W")
    assert first["contents"] == expected
    assert [problem["name"] for problem in first["problems"]] == [crowded.name(1)]
    again = pull_document(alcli, tmp_path / "W")
    assert (again["contents"], again["problems"], again["annotations_read"]) == (expected, [], 0)
    store = Workspace.open(tmp_path / "W", read_only=True).store
    assert store.passed_over() == (PassedOver(CROWD, 2),)
    assert store.counts() == {"labeled": 2, "unlabeled": 9, "skipped": 0, "quarantined": 1}
    code, out, _ = alcli("pull", "-w", tmp_path / "W")
    assert code == 0 and "\nPassed over: 2 crowd regions.\n" in out


def test_images_of_which_nothing_is_known_may_be_the_pool(alcli, crowded, tmp_path):
    alcli("init", tmp_path / "W", "--images", crowded.images, "--annotations", crowded.annotations,
          "--set", "platform.empty=pool")  # fmt: skip
    document = pull_document(alcli, tmp_path / "W")
    # The crowd alone is not nothing.
    assert (document["labeled"], document["contents"]["empty"]) == (2, 0)
