"""The batch for any tool: in rank order, and what comes back in the same form is read without hand work."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from alcli.annotations import Annotation, Box, Mask
from alcli.cycle import _batch_writers as writers
from alcli.cycle.batch import LAYOUTS
from alcli.formats import cvat, voc
from alcli.items import Item, QueryRow
from alcli.system.tables import read
from alcli.workspace import Workspace
from tests.support.scenes import Photos

ODD = "night shift/ä b%20.jpg"


@pytest.fixture
def ranked(photos: Photos, alcli) -> Path:
    """A workspace with a list; two of its four images are asked for, and one lies in a folder."""
    (photos.images / ODD).parent.mkdir()
    (photos.images / photos.name(11)).rename(photos.images / ODD)
    root = photos.root.parent / "W"
    fast = ["train.epochs=1", "train.workers=0", "score.workers=0", "model.input_size=64", "platform.prelabel_score=0"]
    settings = [word for each in fast for word in ("--set", each)]
    where = ("--images", photos.images, "--annotations", photos.annotations)
    assert alcli("init", root, *where, "--model", "ssd-tiny", "--budget", 4, *settings)[0] == 0
    assert alcli("cycle", "-w", root)[0] == 0
    return root


def names(root: Path) -> list[str]:
    return [row["name"] for row in read(root / "cycles/0001/priorities.csv")]


def same_boxes(ours: Annotation, theirs: Annotation) -> bool:
    """Whether both have the same boxes, as far as two decimals say."""
    rest = list(theirs.boxes)
    for box in ours.boxes:
        corners = (box.x1, box.y1, box.x2, box.y2)
        alike = [
            other
            for other in rest
            if other.label == box.label
            and np.allclose(corners, (other.x1, other.y1, other.x2, other.y2), rtol=0, atol=0.0101)
        ]
        if not alike:
            return False
        rest.remove(alike[0])
    return not rest


def read_back(alcli, photos: Photos, annotations: Path) -> dict[str, Annotation]:
    """What a new workspace over the same images reads from these annotations."""
    root = photos.root.parent / "V"
    shutil.rmtree(root, ignore_errors=True)
    assert alcli("init", root, "--images", photos.images, "--annotations", annotations)[0] == 0
    code, _, err = alcli("pull", "-w", root)
    assert code == 0, err
    workspace = Workspace.open(root, read_only=True)
    try:
        labeled = [item.id for item in workspace.store.pool().in_state("labeled")]
        return {each.item_id: each.in_pixels(96, 80) for each in workspace.store.annotations(labeled)}
    finally:
        workspace.close()


def accept(kind: str, path: Path) -> Path:
    """What annotators export who accept every prediction: the same form, for Label Studio as annotations."""
    if kind == "label-studio":
        tasks = json.loads(path.read_text())
        for task in tasks:
            task["annotations"] = [{"id": 1, "result": task.pop("predictions")[0]["result"]}]
        path.write_text(json.dumps(tasks))
    return path


@pytest.mark.parametrize("kind", ["coco", "yolo", "label-studio", "cvat", "voc"])
def test_predictions_come_back_as_they_went(ranked, photos, alcli, tmp_path, kind):
    # The same predictions in another form, read by another reader.
    reference = "voc" if kind != "voc" else "coco"
    path, other = tmp_path / "batch.json", tmp_path / "other.json"
    code, out, err = alcli("export-batch", "-w", ranked, "--to", kind, "-o", path, "--prelabels")
    assert code == 0, err
    assert alcli("export-batch", "-w", ranked, "--to", reference, "-o", other, "--prelabels")[0] == 0
    first, second = read_back(alcli, photos, accept(kind, path)), read_back(alcli, photos, other)
    assert set(first) == set(second) == set(names(ranked)) and ODD in first
    assert sum(len(each.boxes) for each in first.values()) > 4
    assert all(same_boxes(first[name], second[name]) for name in first)
    assert f"4 images with {sum(len(each.boxes) for each in first.values())} predicted objects, best first" in out


@pytest.mark.parametrize("kind", sorted(LAYOUTS))
def test_the_order_is_that_of_the_list(ranked, photos, alcli, tmp_path, kind):
    path = tmp_path / "batch"
    assert alcli("export-batch", "-w", ranked, "--to", kind, "-o", path, "--top", 3)[0] == 0
    assert order(kind, path, photos.images) == names(ranked)[:3]


def order(kind: str, path: Path, images: Path) -> list[str]:
    """The names in a batch, in the order in which the tool shows them."""
    if kind == "list":
        return [Path(line).relative_to(images).as_posix() for line in path.read_text().splitlines()]
    if kind == "folder":
        files = sorted(each for each in path.iterdir() if not each.name.startswith("."))
        contents = {each.read_bytes(): each.relative_to(images).as_posix() for each in images.rglob("*.jpg")}
        return [contents[each.read_bytes()] for each in files]
    if kind == "coco":
        return [image["file_name"] for image in json.loads(path.read_text())["images"]]
    if kind == "label-studio":
        tasks = json.loads(path.read_text())
        assert [task["data"]["rank"] for task in tasks] == [1, 2, 3] and all(task["data"]["reason"] for task in tasks)
        return [unquote(task["data"]["image"].removeprefix("/data/local-files/?d=")) for task in tasks]
    if kind == "cvat":
        lines = [json.loads(line) for line in (path / "manifest.jsonl").read_text().splitlines()]
        assert lines[:2] == [{"version": "1.1"}, {"type": "images"}] and (lines[2]["width"], lines[2]["height"]) == (
            96,
            80,
        )
        assert all((path / "images" / f"{line['name']}{line['extension']}").is_file() for line in lines[2:])
        return [f"{line['name']}{line['extension']}" for line in lines[2:]]
    if kind == "yolo":
        lines = (path / "batch.txt").read_text().splitlines()
        assert all((path / line).is_file() for line in lines) and not (path / "labels").exists()
        return [line.removeprefix("./images/") for line in lines]
    return [f"{line}.jpg" for line in (path / "ImageSets/Main/batch.txt").read_text().splitlines()]


def test_annotations_of_renamed_copies_find_their_images(ranked, photos, alcli, tmp_path):
    assert alcli("export-batch", "-w", ranked, "--to", "folder", "-o", tmp_path / "next")[0] == 0
    labels = tmp_path / "labels"
    labels.mkdir()
    for number, copy in enumerate(sorted((tmp_path / "next").glob("0*"))):
        box = Box("red", 1 + number, 2, 30, 40)
        voc.write(labels / f"{copy.stem}.xml", copy.name, Annotation(copy.name, (box,), (96, 80)))
    read = read_back(alcli, photos, labels)
    assert [read[name].boxes[0].x1 for name in names(ranked)] == [1, 2, 3, 4]


def test_links_lead_to_the_images(ranked, photos, alcli, tmp_path):
    assert alcli("export-batch", "-w", ranked, "--to", "folder", "-o", tmp_path / "next", "--link")[0] == 0
    links = sorted((tmp_path / "next").glob("0*"))
    assert [link.readlink() for link in links] == [photos.images / name for name in names(ranked)]
    assert links[0].name.startswith("0001_") and any(link.name.endswith("night shift__ä b%20.jpg") for link in links)


def test_nothing_is_overwritten_unless_asked(ranked, alcli, tmp_path):
    def write(kind: str, path: Path, *flags: str) -> tuple[int, str, str]:
        return alcli("export-batch", "-w", ranked, "--to", kind, "-o", path, *flags)

    assert write("list", tmp_path / "a.txt")[0] == 0
    code, _, err = write("list", tmp_path / "a.txt")
    assert code == 2 and "exists already" in err and "--force" in err
    assert write("list", tmp_path / "a.txt", "--force")[0] == 0
    assert write("voc", tmp_path / "v")[0] == 0
    assert write("voc", tmp_path / "v")[0] == 2
    (tmp_path / "v/old.txt").write_text("x")
    assert write("voc", tmp_path / "v", "--force")[0] == 0
    assert not (tmp_path / "v/old.txt").exists()
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("x")
    code, _, err = write("voc", mine, "--force")
    assert code == 2 and "was not written by alcli" in err and (mine / "thesis.txt").is_file()
    assert "is a folder" in write("coco", mine, "--force")[2]
    assert not [each for each in tmp_path.iterdir() if each.name.startswith(".alcli")]


def test_a_batch_that_fails_leaves_nothing(ranked, alcli, tmp_path, monkeypatch):
    def fail(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(voc, "write", fail)
    code, _, err = alcli("export-batch", "-w", ranked, "--to", "voc", "-o", tmp_path / "v", "--prelabels")
    assert code == 7 and "No space left" in err
    assert not (tmp_path / "v").exists() and not list(tmp_path.glob(".alcli*"))


def test_an_image_that_is_gone_is_named_and_the_others_move_up(ranked, photos, alcli, tmp_path):
    gone, *rest = names(ranked)
    (photos.images / gone).unlink()
    code, _, err = alcli("export-batch", "-w", ranked, "--to", "coco", "-o", tmp_path / "b.json")
    assert code == 3 and gone in err
    images = json.loads((tmp_path / "b.json").read_text())["images"]
    assert [(image["id"], image["file_name"]) for image in images] == list(enumerate(rest, 1))


def test_refusals(ranked, alcli, tmp_path):
    def write(kind: str, *flags: str) -> tuple[int, str, str]:
        return alcli("export-batch", "-w", ranked, "--to", kind, "-o", tmp_path / "b", *flags)

    code, _, err = write("labelbox")
    assert code == 2 and "label-studio" in err
    code, _, err = write("list", "--prelabels")
    assert code == 2 and "cannot hold predictions of the task detection" in err and "coco" in err
    code, _, err = alcli("export-batch", "-w", ranked, "--to", "list", "-o", tmp_path / "no/b")
    assert code == 2 and "There is no folder" in err


def test_two_images_with_one_label_file_are_refused(photos, alcli, tmp_path):
    shutil.copy(photos.images / photos.name(11), photos.images / "photo_11.png")
    root = tmp_path / "W"
    where = ("--images", photos.images, "--annotations", photos.annotations, "--set", "score.workers=0")
    assert alcli("init", root, *where, "--budget", 5, "--model", "ssd-tiny", "--set", "train.epochs=1")[0] == 0
    assert alcli("cycle", "-w", root, "--set", "train.workers=0")[0] == 0
    code, _, err = alcli("export-batch", "-w", root, "--to", "yolo", "-o", tmp_path / "b")
    assert code == 5 and "would share an annotation file" in err and "photo_11.png" in err
    assert alcli("export-batch", "-w", root, "--to", "cvat", "-o", tmp_path / "b")[0] == 0


def test_without_a_list_there_is_nothing_to_write(workspace, alcli, tmp_path):
    code, _, err = alcli("export-batch", "-w", workspace, "--to", "list", "-o", tmp_path / "b")
    assert code == 2 and "Nothing has been scored yet" in err


def test_masks_and_labels_for_cvat_come_back_pixel_for_pixel(tmp_path):
    pixels = np.zeros((80, 96), bool)
    pixels[10:30, 20:50] = True
    pixels[15, 25] = False
    counts = coco_mask.encode(np.asfortranarray(pixels, dtype=np.uint8))["counts"].decode()
    mask = Mask("crack", counts, (96, 80))
    item = Item("a.jpg", "a.jpg", "file:///a.jpg")
    Image.new("RGB", (96, 80)).save(tmp_path / "a.jpg")
    whole = Annotation("a.jpg", (), (96, 80), labels=("day",), masks=(mask,))
    rows = [QueryRow(1, item, 1.0, True)]
    batch = writers.Batch(
        rows, {"a.jpg": tmp_path / "a.jpg"}, {"a.jpg": (96, 80)}, {"a.jpg": whole}, ("crack",), "m", ""
    )
    root = tmp_path / "batch"
    root.mkdir()
    writers.write_cvat(batch, root)
    again = cvat.Cvat(root)
    again.labeled(["a.jpg"])
    read = again.read("a.jpg")
    assert read.labels == ("day",) and (read.masks[0].pixels() == pixels).all()
