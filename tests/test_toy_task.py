"""A fifth task comes as one file in another package."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from alcli import plugins
from tests.contracts.drawings import picture

TOY = Path(__file__).parent.parent / "examples" / "toy_task"


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """The toy package as an installer would leave it: its module and its announced entry points."""
    site = tmp_path / "site"
    announced = site / "alcli_toy_task-0.1.0.dist-info"
    announced.mkdir(parents=True)
    shutil.copy(TOY / "brightness.py", site)
    description = (TOY / "pyproject.toml").read_text()
    group, line = description.split('[project.entry-points."')[1].split('"]\n')[0], "brightness = "
    entry = next(row for row in description.splitlines() if row.startswith(line)).replace('"', "")
    (announced / "entry_points.txt").write_text(f"[{group}]\n{entry}\n")
    (announced / "METADATA").write_text("Metadata-Version: 2.1\nName: alcli-toy-task\nVersion: 0.1.0\n")
    monkeypatch.syspath_prepend(str(site))
    yield site
    sys.modules.pop("brightness", None)


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
    assert "nearness" in out and "Ranked 1 images" in out
