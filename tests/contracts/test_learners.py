"""What every learner promises, over every learner that is there."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from alcli import plugins
from tests.learners.test_predictions import ranking
from tests.support import onnx_models

FAST = ("train.epochs=1", "train.workers=0", "score.workers=0", "model.input_size=64", "train.batch_size=4",
        "train.validation=0.5", "strategy.name=entropy", "strategy.random_share=0")  # fmt: skip
SETTINGS = [word for setting in FAST for word in ("--set", setting)]
PROGRAM = """
import json, os, pathlib, sys
folder, lacking = pathlib.Path(sys.argv[-1]), sys.argv[1:-1]
settings = json.loads((folder / "settings.json").read_text())
print("environment:", sorted(os.environ))
lines = [line for name in ("pool.txt", "held_out.txt") for line in (folder / name).read_text().splitlines()]
with (folder / settings["predictions"]).open("w") as out:
    for line in lines:
        name = line.split("images/", 1)[1]
        score = 0.5 + int(name[6:8]) / 30
        box = {"boxes": [[1, 2, 20, 30]], "scores": [score], "labels": ["red"]}
        if name not in lacking:
            out.write(json.dumps({"name": name, **box}) + "\\n")
"""
LEARNERS = sorted(plugins.names("learners"))
everyone = pytest.mark.parametrize("learner", LEARNERS)
of_others = pytest.mark.parametrize("learner", [name for name in LEARNERS if name != "builtin"])


@pytest.fixture
def start(photos, alcli, tmp_path):
    """Make a workspace with a learner: ``W = start("command", "V", lacking=[name])``."""

    def make(learner: str, name: str = "V", lacking: tuple[str, ...] = ()) -> Path:
        flags: tuple[object, ...] = ()
        if learner == "predictions":
            lines = [{"name": path.name, "boxes": [[1, 2, 20, 30]], "labels": ["red"],
                      "scores": [0.5 + int(path.name[6:8]) / 30]}
                     for path in sorted(photos.images.iterdir()) if path.name not in lacking]  # fmt: skip
            (tmp_path / "p.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
            flags = ("--predictions", tmp_path / "p.jsonl")
        elif learner == "command":
            (tmp_path / "mine.py").write_text(PROGRAM)
            flags = ("--command", shlex.join([sys.executable, str(tmp_path / "mine.py"), *lacking]))
        elif learner == "onnx":
            path = onnx_models.raw(tmp_path / "best.onnx", [[32, 32, 16, 16]], [[0.9, 0.1, 0]])
            for each in lacking:
                (photos.images / each).write_bytes(b"no image")
            flags = ("--weights", path)
        else:
            assert learner == "builtin", f"say here how a workspace with the learner {learner} is made"
            flags = ("--model", "ssd-tiny")
        where = ("--images", photos.images, "--annotations", photos.annotations, "--budget", 2)
        code, _, err = alcli("init", tmp_path / name, *where, "--learner", learner, *flags, *SETTINGS)
        assert code == 0, err
        return tmp_path / name

    return make


def content(*folders: Path) -> dict[str, bytes]:
    files = [path for folder in folders for path in sorted(folder.rglob("*")) if path.is_file()]
    return {str(path): path.read_bytes() for path in files}


def lists(root: Path) -> bytes:
    return (root / "cycles/0001/priorities.wide.csv").read_bytes()


@everyone
def test_the_same_inputs_give_the_same_signals_and_every_name_is_kept(learner, start, alcli, photos):
    first, second = start(learner, "first"), start(learner, "second")
    for root in (first, second):
        code, _, err = alcli("cycle", "-w", root)
        assert code == 0, err
    assert lists(first) == lists(second)
    assert sorted(ranking(first)) == [photos.name(number) for number in range(8, 12)]
    assert alcli("cycle", "-w", first)[1].startswith("Nothing new")


@everyone
def test_nothing_is_written_outside_the_workspace(learner, start, alcli, photos, tmp_path, monkeypatch):
    root = start(learner)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    before = content(tmp_path)
    assert alcli("cycle", "-w", root)[0] == 0
    after = content(tmp_path)
    inside = {path for path in after if Path(path).is_relative_to(root)}
    assert {path: data for path, data in after.items() if path not in inside} == {
        path: data for path, data in before.items() if not Path(path).is_relative_to(root)
    }
    # What the learner itself leaves is in the cycle's folder.
    record = next((root / "cycles/0001").glob("model.safetensors" if learner == "builtin" else "predictions.jsonl"))
    assert record.is_file()


@of_others
def test_a_missing_prediction_is_named_and_ranked_last(learner, start, alcli, photos):
    lacking = photos.name(8)  # which would be the first: its score is the nearest to one half
    root = start(learner, "W", lacking=(lacking,))
    code, _, err = alcli("cycle", "-w", root)
    # An image that the model cannot be shown is a problem of its own.
    assert (
        code == (3 if learner == "onnx" else 0) and f"No prediction for 1 image ({lacking}); it is ranked last." in err
    ), err
    assert ranking(root)[-1] == lacking


@everyone
def test_a_signal_is_heard_and_the_next_run_ends_as_if_undisturbed(learner, start, alcli, tmp_path):
    calm, disturbed = start(learner, "calm"), start(learner, "disturbed")
    assert alcli("cycle", "-w", calm)[0] == 0
    run = subprocess.Popen(
        [sys.executable, "-m", "alcli", "cycle", "-w", str(disturbed)],
        env=dict(os.environ), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    end = time.monotonic() + 120
    while not (disturbed / "cycles/0001").exists() and run.poll() is None and time.monotonic() < end:
        time.sleep(0.02)
    run.send_signal(signal.SIGTERM)
    assert run.wait(60) in (143, 0)  # 0: it had finished before
    assert alcli("cycle", "-w", disturbed)[0] == 0
    assert lists(disturbed) == lists(calm)


def test_no_token_and_no_setting_of_alcli_reaches_the_command(start, alcli, monkeypatch):
    from alcli.system.redaction import keep_secret

    keep_secret("a-secret-of-the-platform")
    own = {"SA_TOKEN": "abc=1", "ALCLI_NOTIFY_WEBHOOK": "", "MY_TOKEN": "a-secret-of-the-platform"}
    for name, value in own.items():
        if value:
            monkeypatch.setenv(name, value)
    monkeypatch.setenv("MY_OWN", "1")
    root = start("command")
    assert alcli("cycle", "-w", root)[0] == 0
    log = (root / "cycles/0001/command/command.log").read_text()
    assert "'MY_OWN'" in log and "'PATH'" in log and "'ALCLI_OFFLINE'" in log
    assert not [name for name in (*own, "ALCLI_TRAIN_MIN_STEPS") if f"'{name}'" in log]


def test_what_an_interrupted_run_left_is_removed_before_the_program_runs_again(start, alcli):
    root = start("command")
    rest = root / "cycles/0001/command"
    rest.mkdir(parents=True)
    (rest / "predictions.jsonl").write_text("half")
    assert alcli("cycle", "-w", root)[0] == 0
    assert (rest / "predictions.jsonl").read_text() != "half"
