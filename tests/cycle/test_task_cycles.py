"""Whole cycles of every task from the command line, with good and with broken annotations."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from alcli.annotations import Annotation, Polygon
from alcli.formats import class_folders, coco, csv_labels, masks
from alcli.models.uncertainty import SIGNALS
from alcli.strategies.entropy import Entropy
from tests.support.drawings import CASES, JOINTS, SIZE, person, picture

COUNT, LABELED = 10, 6
NAMES = [f"{number:02}.png" for number in range(COUNT)]


def project(root: Path, kind: str) -> tuple[Path, Path]:
    """(images, annotations) of a drawn project with six of ten images annotated."""
    images, labels = root / "images", root / "labels"
    images.mkdir(parents=True)
    labels.mkdir()
    for number, name in enumerate(NAMES):
        picture(images / name, number)
    task = "classification" if kind in ("class-folders", "csv") else kind
    said = {name: CASES[task].draw(number) for number, name in enumerate(NAMES[:LABELED])}
    if kind == "csv":
        csv_labels.write(labels / "labels.csv", said)
        return images, labels / "labels.csv"
    if kind == "pose":
        coco.write(labels / "coco.json", said)
        return images, labels / "coco.json"
    for name, annotation in said.items():
        if kind == "class-folders":
            class_folders.write(labels, name, annotation, images / name)
        else:
            masks.write(labels, name, annotation, ("a", "b"))
    return images, labels


@pytest.fixture
def cycle(alcli, tmp_path):
    """Make a workspace for the project and run one cycle in it: ``code, document, stderr``."""

    def run(kind: str, images: Path, labels: Path, *more: str):
        task = "classification" if kind in ("class-folders", "csv") else kind
        settings = [
            "train.epochs=1", "train.workers=0", "score.workers=0", "model.input_size=64", "train.batch_size=4",
            "train.validation=0.5", *more,
        ]  # fmt: skip
        flags = [flag for setting in settings for flag in ("--set", setting)]
        arguments = ("--task", task, "--model", "mobilenet-v2", "--images", images, "--annotations", labels)
        code, _, err = alcli("init", tmp_path / "W", *arguments, *flags)
        assert code == 0, err
        code, out, err = alcli("cycle", "-w", tmp_path / "W", "--json")
        return code, json.loads(out), err

    return run


@pytest.mark.parametrize("kind", ["class-folders", "csv", "pose", "segmentation"])
def test_a_cycle_ends_in_a_list(kind, cycle, alcli, tmp_path):
    code, document, err = cycle(kind, *project(tmp_path, kind))
    assert code == 0, err
    assert document["pool"] == {"labeled": LABELED, "unlabeled": COUNT - LABELED, "skipped": 0, "quarantined": 0}
    assert document["steps"]["train"]["metrics"]
    assert alcli("export-csv", "-w", tmp_path / "W", "-o", tmp_path / "out.csv")[0] == 0
    with (tmp_path / "out.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert sorted(row["name"] for row in rows) == NAMES[LABELED:]


@pytest.mark.parametrize("kind", ["class-folders", "pose", "segmentation"])
@pytest.mark.parametrize("strategy", ["entropy"])
def test_uncertainty_ranks_too_and_a_second_cycle_goes_on(kind, strategy, cycle, alcli, tmp_path):
    images, labels = project(tmp_path, kind)
    assert cycle(kind, images, labels, f"strategy.name={strategy}", "task.aggregate=top-k")[0] == 0
    picture(images / "10.png", 10)
    code, out, err = alcli("cycle", "-w", tmp_path / "W", "--json")
    assert code == 0, err
    assert json.loads(out)["steps"]["score"]["scored"] == COUNT - LABELED + 1


def test_another_aggregate_scores_anew_without_training(cycle, alcli, tmp_path):
    assert cycle("segmentation", *project(tmp_path, "segmentation"), "strategy.name=entropy")[0] == 0
    code, out, err = alcli("cycle", "-w", tmp_path / "W", "--json", "--set", "task.aggregate=sum")
    assert code == 0, err
    assert json.loads(out)["steps"]["train"]["reused_from"] == 1
    first, second = ((tmp_path / "W" / "cycles" / number / "scores.csv").read_text() for number in ("0001", "0002"))
    assert first != second


@pytest.mark.parametrize("kind", ["class-folders", "pose", "segmentation"])
def test_every_signal_reaches_the_strategy(kind, cycle, alcli, tmp_path, monkeypatch):
    seen = []

    def score(self, signals, budget, rng):
        seen.append(dict(signals.arrays))
        return signals["output_discrepancy"].astype(np.float64)

    monkeypatch.setattr(Entropy, "needs", SIGNALS)
    monkeypatch.setattr(Entropy, "score", score)
    images, labels = project(tmp_path, kind)
    code, _, err = cycle(kind, images, labels, "strategy.name=entropy")
    assert code == 0
    assert "There is no earlier model to compare with: output_discrepancy is 0." in err
    picture(images / "10.png", 10)
    assert alcli("cycle", "-w", tmp_path / "W", "--set", "train.seed=1")[0] == 0
    first, second = seen
    assert set(first) == SIGNALS and len(first["embedding"]) == 4 and len(second["embedding"]) == 5
    assert first["embedding"].dtype == np.float16 and first["class_scores"].shape[1] > 1
    assert not first["output_discrepancy"].any() and second["output_discrepancy"].all()
    assert (tmp_path / "W/cycles/0002/signals/embedding.npy").is_file()


def broken_person(document: dict, images: Path) -> str:
    document["annotations"][0]["keypoints"] = [0, 0, 0] * len(JOINTS)
    document["annotations"][0]["num_keypoints"] = 0
    return "all its objects are passed over (1 jointless object)"


def two_points(document: dict, images: Path) -> str:
    document["annotations"][0]["segmentation"] = [[1, 1, 5, 5]]
    return "annotations[0].segmentation: polygon of class 'person' has 2 points, at least 3 are needed"


@pytest.mark.parametrize("break_it", [broken_person, two_points])
def test_one_broken_person_leaves_the_others(break_it, cycle, tmp_path):
    images, labels = project(tmp_path, "pose")
    document = json.loads(labels.read_text())
    reason = break_it(document, images)
    labels.write_text(json.dumps(document))
    code, said, err = cycle("pose", images, labels)
    assert code == 3
    assert {"name": NAMES[0], "reason": reason} in said["problems"]
    assert f"left out: {NAMES[0]}: {reason}" in err
    assert said["pool"]["quarantined"] == 1 and said["pool"]["labeled"] == LABELED - 1


def test_a_polygon_of_two_points_leaves_the_other_outlines(cycle, tmp_path):
    images, _ = project(tmp_path, "segmentation")
    square = [(5, 5, 40, 5, 40, 40, 5, 40)]
    said = {name: Annotation(name, size=SIZE, polygons=(Polygon("a", square),)) for name in NAMES[:LABELED]}
    coco.write(tmp_path / "coco.json", said)
    document = json.loads((tmp_path / "coco.json").read_text())
    document["annotations"][1]["segmentation"] = [[1, 1, 5, 5]]
    (tmp_path / "coco.json").write_text(json.dumps(document))
    code, said, err = cycle("segmentation", images, tmp_path / "coco.json")
    assert code == 3
    reason = "annotations[1].segmentation: polygon of class 'a' has 2 points, at least 3 are needed"
    assert f"left out: {NAMES[1]}: {reason}" in err
    assert said["pool"]["quarantined"] == 1


def test_the_line_for_people_has_the_metric_and_not_each_class(cycle, alcli, tmp_path):
    _, document, _ = cycle("segmentation", *project(tmp_path, "segmentation"))
    assert "iou/a" in document["steps"]["train"]["metrics"]
    code, out, _ = alcli("train", "-w", tmp_path / "W")
    assert code == 0
    assert "mIoU" in out
    assert "iou/" not in out


@pytest.mark.parametrize(
    ("numbers", "reason"),
    [
        (np.zeros((8, 8), dtype=np.uint8), "the annotation is for 8×8 pixels, the upright image has 96×80"),
        (np.full(SIZE[::-1], 77, dtype=np.uint8), "the mask has pixels of id 77, which the class list does not name"),
    ],
    ids=["size", "ids"],
)
def test_one_broken_mask_leaves_the_others(numbers, reason, cycle, tmp_path):
    images, labels = project(tmp_path, "segmentation")
    Image.fromarray(numbers).save(labels / NAMES[2])
    code, said, err = cycle("segmentation", images, labels)
    assert code == 3
    assert f"left out: {NAMES[2]}: {reason}" in err
    assert said["pool"]["quarantined"] == 1


def test_annotations_that_all_fail_push_nothing_unless_it_is_allowed(cycle, alcli, tmp_path):
    images, labels = project(tmp_path, "segmentation")
    for name in NAMES[:LABELED]:
        Image.fromarray(np.full(SIZE[::-1], 77, dtype=np.uint8)).save(labels / name)
    code, _, err = cycle("segmentation", images, labels)
    assert code == 5
    reason = "the mask has pixels of id 77, which the class list does not name; name it, or ignore it: "
    assert f"{LABELED} of them: {reason}--set task.ignore_index=77." in err
    assert not list(tmp_path.rglob("queue.csv"))
    code, out, err = alcli("cycle", "-w", tmp_path / "W", "--allow-cold-start", "--json")
    said = json.loads(out)
    assert code == 3
    assert f"None of the {LABELED} annotations can be used, so there is no model" in err
    assert said["steps"]["train"]["cold_start"]


def test_a_class_folder_with_one_image_is_left_out(cycle, tmp_path):
    images, labels = project(tmp_path, "class-folders")
    class_folders.write(labels, NAMES[7], Annotation(NAMES[7], labels=("rare",)), images / NAMES[7])
    code, said, err = cycle("class-folders", images, labels)
    assert code == 3
    assert f"left out: {NAMES[7]}: the only image of the class folder 'rare'" in err
    assert said["steps"]["train"]["classes"] == ["a", "b"]


@pytest.mark.parametrize("kind", ["class-folders", "csv"])
def test_an_image_labeled_twice_differently_is_left_out(kind, cycle, tmp_path):
    images, labels = project(tmp_path, kind)
    if kind == "csv":
        labels.write_text(labels.read_text() + f"{NAMES[0]},b\n")
    else:
        class_folders.write(labels, NAMES[0], Annotation(NAMES[0], labels=("b",)), images / NAMES[0])
    code, said, err = cycle(kind, images, labels)
    assert code == 3
    assert f"left out: {NAMES[0]}: labeled differently: a, b" in err
    assert said["pool"]["quarantined"] == 1


def test_people_drawn_are_people_read(tmp_path):
    _, labels = project(tmp_path, "pose")
    read = coco.Coco(labels)
    read.labeled(NAMES)
    assert read.read(NAMES[1]).poses == (person(1), person(1, 30))
