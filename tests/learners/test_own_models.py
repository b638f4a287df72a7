"""The worked examples of README.md and examples/own_models: every command line is run, with a stand-in for the YOLO."""

from __future__ import annotations

import csv
import json
import re
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.contracts.test_learners import PROGRAM
from tests.support import onnx_models
from tests.support.scenes import Photos

ROOT = Path(__file__).parents[2]
PAGES = {"README.md": "# I have a YOLO", "examples/own_models/README.md": ""}


def commands(page: str) -> list[str]:
    """The command lines of the worked examples on one page, in order."""
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / page).read_text(), re.S)
    lines = "\n".join(block for block in blocks if PAGES[page] in block).splitlines()
    parts = [part for line in lines if not line.startswith("#") for part in line.split(" && ")]
    return [part for part in parts if shlex.split(part, comments=True)[:1] == ["alcli"]]


@pytest.fixture
def here(photos: Photos, monkeypatch) -> Path:
    """The files that the examples name, in the current folder."""
    monkeypatch.chdir(photos.root)
    photos.images.rename("photos")
    photos.annotations.rename("labels")
    names = sorted(path.name for path in Path("photos").iterdir())
    lines = [{"name": name, "boxes": [[1, 2, 20, 30]], "scores": [0.9], "labels": ["red"]} for name in names]
    Path("preds.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    np.savez("vectors.npz", names=names, embeddings=np.random.default_rng(0).normal(size=(len(names), 8)))
    Path("yolo.py").write_text(PROGRAM)
    onnx_models.raw(Path("best.onnx"), [[32, 32, 16, 16]], [[0.9, 0.1, 0]])
    return photos.root


@pytest.mark.parametrize("page", PAGES)
def test_every_command_line_of_the_worked_examples_works(page, here, alcli):
    lines = commands(page)
    assert len(lines) >= 6
    for line in lines:
        words = shlex.split(line, comments=True)[1:]
        if "--command" in words:
            words[words.index("--command") + 1] = shlex.join([sys.executable, str(here / "yolo.py")])
        code, _, err = alcli(*words)
        assert code == 0, (line, err)
    with Path("P/cycles/0001/priorities.csv").open() as stream:
        first = next(csv.DictReader(stream))["name"]
    assert first.startswith("photo_") and any(first in path.name for path in Path("batch").rglob("*"))
    assert Path("W/cycles/0001/priorities.csv").exists()
