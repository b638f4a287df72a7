"""A small disk that is full at each stage: exit 7, nothing lost, and the next run ends as an undisturbed one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.fork_server import PROJECT
from tests.faults.full_disk import COMMANDS, SHARES
from tests.faults.hardships import can_mount
from tests.faults.scenes import SETTINGS
from tests.support.scenes import Photos

pytestmark = pytest.mark.skipif(not can_mount(), reason="this machine does not let a process mount a disk of its own")
FILLS_LITTLE = {"push", "export-csv", "skip"}


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A project and a workspace that can be copied anywhere."""
    place = tmp_path_factory.mktemp("full")
    photos = Photos(place / "blank/project").draw(9, annotated=6)
    settings = [word for setting in SETTINGS for word in ("--set", setting)]
    flags = ("--images", photos.images, "--annotations", photos.annotations, "--model", "ssd-tiny", *settings, "-q")
    subprocess.run([sys.executable, "-m", "alcli", "init", place / "blank/W", *flags], check=True, cwd=PROJECT)
    file = place / "blank/W/alcli.toml"
    file.write_text(file.read_text().replace(str(place / "blank"), ".."))
    return place


def attempts(place: Path, *what: object) -> dict:
    command = ["unshare", "-rm", sys.executable, "-m", "tests.faults.full_disk", str(place), *map(str, what)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, cwd=PROJECT, env=environment, check=False)
    shutil.rmtree(place / "disk", ignore_errors=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def check_cycles(answer: dict) -> None:
    for share, tried in answer["tried"].items():
        where = f"with {share} of the space: {tried}"
        assert tried["code"] == 7 and "Traceback" not in tried["error"], where
        assert tried["lost"] == [] and tried["again"] == 0, where
        assert tried["outcome"] == answer["calm"], where


def check_commands(answer: dict) -> None:
    for name, tried in answer["tried"].items():
        assert tried["code"] == 7 and "Traceback" not in tried["error"], f"{name}: {tried}"
        assert tried["lost"] == [] and tried["again"] in (0, 3), f"{name}: {tried}"


def test_a_cycle_on_a_full_disk(place):
    check_cycles(attempts(place, 0.0, 0.5))


@pytest.mark.slow
def test_a_cycle_on_a_disk_that_fills_at_each_stage(place):
    check_cycles(attempts(place, *SHARES))


def test_a_backup_and_a_push_on_a_full_disk(place):
    check_commands(attempts(place, "backup", "push"))


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_that_writes(place, command):
    check_commands(attempts(place, command))
