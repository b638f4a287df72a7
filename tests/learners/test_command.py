"""The learner `command`: your own program in the cycle, whatever it does."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from alcli.learners import command as learner
from tests.learners.test_predictions import ranking

GOOD = """
import json, pathlib, sys
folder = pathlib.Path(sys.argv[-1])
settings = json.loads((folder / "settings.json").read_text())
names = [line.split("images/", 1)[1] for f in ("pool.txt", "held_out.txt") for line in (folder / f).read_text().split()]
(folder / settings["weights"] / "w.bin").write_text("weights of " + str(settings["cycle"]))
with open("runs.txt", "a") as runs:
    runs.write(str(settings["previous_weights"]) + "\\n")
with (folder / settings["predictions"]).open("w") as out:
    for number, name in enumerate(names):
        score = 0.5 if name == "photo_10.jpg" else 0.9
        box = {"boxes": [[1, 2, 20, 30]], "scores": [score], "labels": [settings["classes"][0]]}
        out.write(json.dumps({"name": name, **box}) + "\\n")
print("trained on", len((folder / "train.txt").read_text().split()))
"""


@pytest.fixture
def own(photos, alcli, tmp_path, monkeypatch):
    """Make a workspace that runs this program: ``W = own(text, *flags)``."""
    (tmp_path / "code").mkdir()
    monkeypatch.chdir(tmp_path / "code")

    def make(program: str, *flags: object) -> Path:
        (tmp_path / "code/mine.py").write_text(program)
        arguments = ("--images", photos.images, "--annotations", photos.annotations, "--budget", 2)
        settings = ("strategy.name=entropy", "train.validation=0.7", "strategy.random_share=0")
        more = [flag for setting in settings for flag in ("--set", setting)]
        call = ("--learner", "command", "--command", f"{sys.executable} mine.py")
        code, out, err = alcli("init", tmp_path / "W", *arguments, *call, *more, *flags)
        assert code == 0 and "runs " in out, err
        return tmp_path / "W"

    return make


def runs(tmp_path: Path) -> list[str]:
    return (tmp_path / "code/runs.txt").read_text().splitlines() if (tmp_path / "code/runs.txt").exists() else []


def test_two_cycles_with_a_program_of_ones_own(own, photos, alcli, tmp_path):
    workspace = own(GOOD)
    code, out, err = alcli("cycle", "-w", workspace, "--json")
    assert code == 0, err
    training = json.loads(out)["steps"]["train"]
    assert (
        training["learner"] == "command" and training["metrics"] and training["predicted"] == 4 + training["held_out"]
    )
    assert ranking(workspace)[0] == "photo_10.jpg"
    folder = workspace / "cycles/0001/command"
    coco = json.loads((folder / "train.json").read_text())
    assert len(coco["images"]) == training["trained_on"] and coco["annotations"][0]["bbox"]
    assert {category["name"] for category in coco["categories"]} == {"red", "green", "blue"}
    described = yaml.safe_load((folder / "data.yaml").read_text())
    assert described["names"] == {0: "blue", 1: "green", 2: "red"} and described["val"] == "held_out.txt"
    first = (folder / "train.txt").read_text().split()[0]
    label = folder / first.replace("images/", "labels/").replace(".jpg", ".txt")
    assert all(0 <= float(field) <= 3 for field in label.read_text().split())
    assert "trained on" in (folder / "command.log").read_text()
    assert "trained on" in (workspace / "logs/alcli.jsonl").read_text()
    photos.annotate(10)
    code, _, err = alcli("cycle", "-w", workspace)
    assert code == 0, err
    assert runs(tmp_path) == ["None", str(workspace / "cycles/0001/command/weights")]
    assert alcli("cycle", "-w", workspace)[1].startswith("Nothing new") and len(runs(tmp_path)) == 2


def test_a_command_of_a_received_workspace_does_not_run(own, alcli, tmp_path):
    workspace = own(GOOD)
    received = tmp_path / "received"
    shutil.copytree(workspace, received)
    assert alcli("pull", "-w", received)[0] == 0
    code, _, err = alcli("cycle", "-w", received)
    assert code == 4 and "mine.py" in err and "alcli trust" in err and runs(tmp_path) == []
    code, out, _ = alcli("trust", "-w", received, "--dry-run")
    assert code == 0 and "mine.py" in out
    assert alcli("train", "-w", received)[0] == 4
    assert alcli("trust", "-w", received)[0] == 0
    assert alcli("cycle", "-w", received)[0] == 0 and len(runs(tmp_path)) == 1
    text = (received / "alcli.toml").read_text().replace("mine.py", "mine.py --more")
    (received / "alcli.toml").write_text(text)
    assert alcli("cycle", "-w", received)[0] == 4 and len(runs(tmp_path)) == 1


def test_a_changed_program_inside_the_workspace_has_to_be_confirmed_again(own, alcli, tmp_path, photos):
    workspace = own(GOOD)
    (workspace / "mine.py").write_text(GOOD)
    call = f"{sys.executable} {workspace / 'mine.py'}"
    text = (workspace / "alcli.toml").read_text().replace(f"{sys.executable} mine.py", call)
    (workspace / "alcli.toml").write_text(text)
    assert alcli("trust", "-w", workspace)[0] == 0
    assert alcli("cycle", "-w", workspace)[0] == 0
    (workspace / "mine.py").write_text(GOOD + "\n# changed")
    photos.annotate(9)
    assert alcli("cycle", "-w", workspace)[0] == 4


@pytest.mark.parametrize(
    ("program", "flags", "words"),
    [
        ("import sys; print('no GPU'); sys.exit(3)", (), "ended with exit code 3"),
        ("import os; os.kill(os.getpid(), 9)", (), "was killed by signal 9"),
        ("import time; time.sleep(60)", ("--set", "learner.deadline=0.5"), "did not end within 0.5 s"),
        ("print('done')", (), "wrote no predictions.jsonl"),
        ("import sys; open(sys.argv[-1] + '/predictions.jsonl', 'w').write('{\"name\": \"pho')", (), "in the middle"),
    ],
)
def test_a_program_that_fails_is_one_clear_message_and_is_run_again(own, alcli, tmp_path, program, flags, words):
    workspace = own(program, *flags)
    code, _, err = alcli("cycle", "-w", workspace)
    assert code == 5 and words in err and "queue is unchanged" in err, err
    assert "no GPU" in err or "no GPU" not in program
    (tmp_path / "code/mine.py").write_text(GOOD)
    assert alcli("cycle", "-w", workspace, "--set", "learner.deadline=60")[0] == 0


def test_a_program_that_is_not_there(own, alcli):
    workspace = own(GOOD)
    code, _, err = alcli("cycle", "-w", workspace, "--set", "learner.command=no-such-program")
    assert code == 5 and "cannot be started: no-such-program" in err
    code, _, err = alcli("cycle", "-w", workspace, "--set", 'learner.command=python "mine')
    assert code == 2 and "Close the quotation" in err


def test_a_finished_program_is_not_run_again_after_a_kill(own, alcli, tmp_path, monkeypatch):
    workspace = own(GOOD)

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(learner, "keep_predictions", killed)
        assert alcli("cycle", "-w", workspace)[0] == 130
    assert len(runs(tmp_path)) == 1
    assert alcli("cycle", "-w", workspace)[0] == 0
    assert len(runs(tmp_path)) == 1


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_signal_ends_the_program_and_all_that_it_started(own, tmp_path, number):
    family = (
        "import os, subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(100)'])\n"
        "open('pids.tmp', 'w').write(f'{os.getpid()} {child.pid}'); os.rename('pids.tmp', 'pids')\n"
        "time.sleep(100)\n"
    )
    workspace = own(family)
    environment = {**os.environ, "ALCLI_OFFLINE": "1"}
    run = subprocess.Popen([sys.executable, "-m", "alcli", "cycle", "-w", str(workspace)], env=environment)
    pids = tmp_path / "code/pids"
    end = time.monotonic() + 300
    while not pids.exists() and run.poll() is None and time.monotonic() < end:
        time.sleep(0.05)
    members = [int(pid) for pid in pids.read_text().split()]
    assert all(alive(pid) for pid in members)
    run.send_signal(number)
    assert run.wait(60) == (143 if number == signal.SIGTERM else -9)
    end = time.monotonic() + 60
    while any(alive(pid) for pid in members) and time.monotonic() < end:
        time.sleep(0.05)
    assert not any(alive(pid) for pid in members)
