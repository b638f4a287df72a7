from __future__ import annotations

import json

import numpy as np

from alcli.formats.voc import Voc
from alcli.simulation import quickstart
from tests.support.hashes import hashes


def test_scenes_are_the_same_for_the_same_seed_and_digits_are_long_tailed(tmp_path):
    one, other = quickstart.make_project(tmp_path / "a"), quickstart.make_project(tmp_path / "b")
    assert hashes(one.images.iterdir()) == hashes(other.images.iterdir())
    names = sorted(path.name for path in one.images.iterdir())
    assert len(names) == quickstart.POOL
    assert len(list(one.annotations.glob("*.xml"))) == quickstart.START
    labels = [box.label for name in names for box in boxes(one, name)]
    counts = np.array([labels.count(str(digit)) for digit in range(10)])
    assert counts.min() > 10
    assert counts[0] > 4 * counts[9]


def boxes(project, name):
    for folder in (project.annotations, project.answers):
        if (folder / name.replace(".jpg", ".xml")).exists():
            voc = Voc(folder)
            voc.labeled([name])
            return voc.read(name).boxes
    raise AssertionError(name)


def test_quickstart_turns_the_loop_twice(alcli, tmp_path, monkeypatch):
    for name, value in (("START", 12), ("BUDGET", 5), ("POOL", 24), ("TEST", 6)):
        monkeypatch.setattr(quickstart, name, value)
    fast = {"train.epochs": 1, "selection.budget": 5, "train.workers": 0}
    monkeypatch.setattr(quickstart, "SETTINGS", {**quickstart.SETTINGS, **fast})
    root = tmp_path / "q"
    code, out, err = alcli("quickstart", root, "--json")
    assert code == 0, err
    told = json.loads(out)
    assert 0 <= told["map_before"] <= 1
    assert len((root / "cycles/0002/priorities.csv").read_text().splitlines()) == 1 + 24 - 12 - 5
    assert len(list((root / "annotations").glob("*.xml"))) == 17
    code, out, _ = alcli("cycle", "-w", root)
    assert (code, out) == (0, "Nothing new since cycle 2: nothing to do.\n")
    assert alcli("quickstart", root)[0] == 2
