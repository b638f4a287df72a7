from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest

from alcli.cli import cli
from alcli.workspace import heartbeat
from alcli.workspace.heartbeat import Heartbeat

COMMANDS = {name: cli.get_command(click.Context(cli), name) for name in cli.list_commands(click.Context(cli))}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_examples(name):
    assert COMMANDS[name].help
    assert "Examples:" in COMMANDS[name].help
    assert f"alcli {name}" in COMMANDS[name].help
    for parameter in COMMANDS[name].params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{name} {parameter.name}"


@pytest.mark.parametrize("what", ["strategies", "tasks", "models", "platforms", "formats", "exit-codes"])
def test_lists(alcli, what):
    code, out, _ = alcli("list", what, "--json")
    rows = json.loads(out)[what.replace("-", "_")]
    assert code == 0
    assert len(rows) >= 1
    assert all(all(value is not None for value in row.values()) for row in rows)
    assert alcli("list", what)[0] == 0


def checks(alcli, root: Path, *flags: str) -> dict[str, str]:
    """What the doctor found, by check."""
    return {
        row["check"]: row["found"] for row in json.loads(alcli("doctor", "-w", root, *flags, "--json")[1])["checks"]
    }


def test_doctor_finds_a_good_workspace_good_and_a_bad_one_bad(alcli, workspace, photos):
    code, out, _ = alcli("doctor", "-w", workspace, "--json")
    assert code == 0
    found = {"versions", "disk", "permission", "privacy", "database", "lock", "clock", "platform"}
    assert {row["check"] for row in json.loads(out)["checks"]} >= found
    (workspace / "alcli.db").chmod(0o644)
    heartbeat.write(workspace, Heartbeat().after(time.time() + 9000, 0, 1.0))
    photos.images.rename(photos.images.with_name("moved"))
    code, _, err = alcli("doctor", "-w", workspace)
    assert code == 2
    assert "Problems with: privacy, clock, platform." in err


HOLDING = """
import pathlib, sys
from alcli.workspace import Workspace
with Workspace.open(pathlib.Path(sys.argv[1])).lock():
    print("held", flush=True)
    input()
"""


def test_doctor_names_who_holds_the_lock_and_takes_it_from_nobody(alcli, workspace):
    assert checks(alcli, workspace)["lock"] == "free"
    command = [sys.executable, "-c", HOLDING, workspace]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "held\n"
        assert checks(alcli, workspace)["lock"].startswith(f"held by pid {other.pid} on ")
        other.communicate("\n")
    assert checks(alcli, workspace)["lock"] == "free"


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        (("--model", "ssd-tinny"), "has no model 'ssd-tinny'"),
        (("--weights", "nowhere.safetensors"), "nowhere.safetensors"),
        (("--task", "classification", "--model", "resnet81"), "has no model 'resnet81'"),
        (
            ("--task", "classification", "--model", "vit_tiny_patch16_224", "--set", "model.input_size=100"),
            "100 is no multiple of that",
        ),
    ],
)
def test_a_workspace_that_could_never_train_is_not_made(alcli, photos, flags, complaint):
    root = photos.images.parent / "new"
    code, _, err = alcli("init", root, "--images", photos.images, "--annotations", photos.annotations, *flags)
    assert code in (2, 5)
    assert complaint in err
    assert not root.exists()


@pytest.mark.parametrize("classes", [(), ("--classes", "left hand,right hand")])
def test_joints_may_be_named_before_there_is_any(alcli, photos, classes):
    flags = ("--task", "pose", "--model", "mobilenet-v2", "--set", 'task.flip_pairs=[["left hand","right hand"]]')
    root, empty = photos.images.parent / "new", photos.images.parent / "empty"
    empty.mkdir()
    assert alcli("init", root, "--images", photos.images, "--annotations", empty, *flags, *classes)[0] == 0
    assert checks(alcli, root)["model"].startswith("mobilenet-v2, untrained weights")


def test_images_without_a_place_for_annotations_are_not_enough(alcli, photos):
    code, _, err = alcli("init", photos.images.parent / "new", "--images", photos.images)
    assert code == 2
    assert "The folder platform needs --annotations." in err


def test_doctor_looks_at_the_model(alcli, workspace):
    assert checks(alcli, workspace)["model"].startswith("ssd-tiny, untrained weights")
    assert "ssd-tiny?" in checks(alcli, workspace, "--set", "model.name=ssd-tinny")["model"]


def test_a_deleted_folder_is_said(alcli, tmp_path, monkeypatch):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    code, _, err = alcli("status")
    assert code == 2
    assert "The current folder has been deleted." in err


def test_a_dry_run_changes_no_file(alcli, workspace, photos):
    def state():
        return {
            path: path.read_bytes()
            for path in sorted(Path(workspace.parent).rglob("*"))
            if path.suffix in (".csv", ".toml", ".json")
        }

    before = state()
    for command in (("cycle", "--dry-run"), ("pull", "--dry-run")):
        code, out, _ = alcli(*command, "-w", workspace, "--json")
        assert code == 0
        assert json.loads(out)["dry_run"]
    assert state() == before
    assert json.loads(alcli("status", "-w", workspace, "--json")[1])["pool"]["labeled"] == 0


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(alcli, shell):
    code, out, _ = alcli("completion", shell)
    assert code == 0
    assert "_ALCLI_COMPLETE" in out


def test_status_before_and_after_a_cycle(alcli, workspace):
    assert "Next: alcli cycle\n" in alcli("status", "-w", workspace)[1]
    alcli("cycle", "-w", workspace)
    out = alcli("status", "-w", workspace)[1]
    assert "8 labeled, 4 unlabeled" in out
    assert "Next: annotate the first images of the queue" in out


def test_a_workspace_is_found_from_the_current_folder_upward(alcli, workspace, monkeypatch):
    monkeypatch.chdir(workspace / "cycles")
    assert alcli("status")[0] == 0
    monkeypatch.chdir("/")
    assert alcli("status")[0] == 10
