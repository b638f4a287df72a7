"""How often an image is decoded for a list with reasons: once, whatever the task is."""

from __future__ import annotations

import csv
from collections import Counter

import pytest

from alcli import images
from tests.cycle.test_task_cycles import project
from tests.support.scenes import Photos

TASKS = {
    "detection": "ssd-tiny",
    "class-folders": "mobilenet-v2",
    "pose": "mobilenet-v2",
    "segmentation": "mobilenet-v2",
}


@pytest.mark.parametrize("kind", TASKS)
def test_the_list_and_its_reasons_come_from_one_pass(kind, alcli, tmp_path, monkeypatch):
    if kind == "detection":
        photos = Photos(tmp_path / "project").draw(12, annotated=8)
        folder, labels = photos.images, photos.annotations
    else:
        folder, labels = project(tmp_path, kind)
    task = "classification" if kind == "class-folders" else kind
    settings = ("train.epochs=1", "train.workers=0", "score.workers=0", "model.input_size=64", "train.validation=0")
    flags = [flag for setting in settings for flag in ("--set", setting)]
    arguments = ("--task", task, "--model", TASKS[kind], "--images", folder, "--annotations", labels)
    assert alcli("init", tmp_path / "W", *arguments, *flags)[0] == 0
    assert alcli("pull", "-w", tmp_path / "W")[0] == alcli("train", "-w", tmp_path / "W")[0] == 0
    decoded: Counter[str] = Counter()
    load = images.load

    def spy(path, *more, **options):
        decoded[path.name] += 1
        return load(path, *more, **options)

    monkeypatch.setattr(images, "load", spy)
    passes = {}
    for strategy in ("learned-loss", "auto"):
        decoded.clear()
        code, _, err = alcli("score", "-w", tmp_path / "W", "--strategy", strategy)
        assert code == 0, err
        passes[strategy] = dict(decoded)
    with (tmp_path / "W/cycles/0001/scores.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert any(row["reason"] for row in rows)
    everything = {path.name for path in folder.iterdir()}
    unlabeled = {row["name"] for row in rows}
    assert passes["learned-loss"] == dict.fromkeys(unlabeled, 1)
    assert passes["auto"] == dict.fromkeys(everything, 1), "it covers what the annotated images leave uncovered"
