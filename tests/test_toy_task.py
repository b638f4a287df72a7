"""A fifth task comes as one file in another package."""

from __future__ import annotations

import json

import pytest

from alcli import config, plugins
from alcli.errors import UsageError
from tests.support.drawings import picture
from tests.support.packages import installed_while


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """The toy package as an installer would leave it."""
    yield from installed_while("toy_task", tmp_path / "site", monkeypatch)


def test_the_task_is_one_of_five_only_while_it_is_installed(installed):
    assert plugins.names("tasks") == ["brightness", "classification", "detection", "pose", "segmentation"]
    assert plugins.load("tasks", "brightness").__name__ == "Brightness"


def test_its_cycle_runs_like_any_other(installed, alcli, tmp_path):
    images, labels = tmp_path / "images", tmp_path / "labels.csv"
    images.mkdir()
    for number in range(8):
        picture(images / f"{number}.png", number)
    labels.write_text("name,label\n" + "".join(f"{number}.png,{20 * number}\n" for number in range(7)))
    settings = ("train.epochs=1", "train.workers=0", "score.workers=0", "train.validation=0.4")
    flags = [flag for setting in settings for flag in ("--set", setting)]
    where = ("--images", images, "--annotations", labels)
    assert alcli("init", tmp_path / "W", "--task", "brightness", *where, *flags)[0] == 0
    code, out, err = alcli("cycle", "-w", tmp_path / "W")
    assert code == 3
    assert "left out: 6.png: '120' is not a number from 0 to 100" in err
    assert "brightness gives no class_uncertainty, embedding, expected_objects, margin: ranking by learned-loss" in err
    assert "nearness" in out and "Ranked 1 image;" in out
    code, out, err = alcli("cycle", "-w", tmp_path / "W", "--set", "task.scale=120")
    assert code == 0, err
    assert "left out" not in err
    settings = json.loads((tmp_path / "W/cycles/0002/config.json").read_text())
    assert settings["task"]["scale"] == 120


def test_its_option_is_listed_and_belongs_to_it_alone(installed, alcli, tmp_path):
    code, out, _ = alcli("list", "settings")
    assert code == 0
    table = out[out.index("task, only for brightness") :]
    assert table.splitlines()[2].split()[:4] == ["task.scale", "whole", "number", "100"]
    with pytest.raises(UsageError, match=r"task\.scale belongs to the task brightness; this .* task\.name = detection"):
        config.load(tmp_path, ["task.scale=7"], {})
