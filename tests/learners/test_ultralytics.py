"""A real YOLO as the learner `command`, in an environment of its own that ``ALCLI_ULTRALYTICS`` names."""

from __future__ import annotations

import json
import os
import shlex
import time
from pathlib import Path

import pytest

from tests.learners.test_predictions import ranking
from tests.support.scenes import Photos

PYTHON = os.environ.get("ALCLI_ULTRALYTICS", "")
PROGRAM = Path(__file__).parents[2] / "examples/ultralytics/yolo.py"


def test_the_program_is_short_and_alcli_never_imports_the_package():
    assert len(PROGRAM.read_text().splitlines()) <= 50
    package = Path(__file__).parents[2] / "alcli"
    assert not [path for path in package.rglob("*.py") if "import ultralytics" in path.read_text()]
    assert "ultralytics" not in (package.parent / "pyproject.toml").read_text()


@pytest.mark.slow
@pytest.mark.skipif(not PYTHON, reason="ALCLI_ULTRALYTICS names no Python that has the package ultralytics")
def test_two_cycles_train_predict_rank_and_export(tmp_path, alcli, capsys):
    photos = Photos(tmp_path / "project").draw(60, annotated=30)
    root = tmp_path / "W"
    call = shlex.join([str(Path(PYTHON).absolute()), str(PROGRAM), "--epochs", "15", "--size", "96"])
    learner = ("--learner", "command", "--command", call, "--set", "strategy.name=entropy")
    arguments = ("--images", photos.images, "--annotations", photos.annotations, "--budget", 10)
    assert alcli("init", root, *arguments, *learner)[0] == 0
    for cycle, unlabeled in ((1, 30), (2, 20)):
        start = time.monotonic()
        code, out, err = alcli("cycle", "-w", root, "--json")
        assert code == 0, err
        training = json.loads(out)["steps"]["train"]
        assert training["learner"] == "command" and 0 <= training["metrics"]["ap50"] <= 1
        assert training["predicted"] == unlabeled + training["held_out"]
        names = ranking(root, cycle)
        assert len(names) == unlabeled
        with capsys.disabled():
            print(f"cycle {cycle}: {time.monotonic() - start:.0f} s, {training['metrics']}, {len(names)} ranked")
        batch = ("--to", "yolo", "-o", tmp_path / f"batch{cycle}", "--prelabels")
        assert alcli("export-batch", "-w", root, *batch)[0] == 0
        for name in names[:10]:
            photos.annotate(int(name[6:8]))
    log = (root / "cycles/0002/command/command.log").read_text()
    assert "Downloading" not in log and "last.pt" in log
