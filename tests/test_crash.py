"""Kill a cycle at any instant, run the same command again: the outcome is that of an undisturbed run, byte for byte."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from alcli import cli
from alcli.artifacts.checkpoints import StepCheckpoints
from alcli.errors import Interrupted
from alcli.system.files import TEMPORARY_PREFIX
from tests.support.hashes import hashes
from tests.support.scenes import Photos

OUTCOME = ("cycles/0001/model.safetensors", "cycles/0001/scores.csv", "cycles/0001/priorities.csv",
           "cycles/0001/priorities.wide.csv")  # fmt: skip


def command(root: Path) -> list[str]:
    return [sys.executable, "-m", "alcli", "cycle", "-w", str(root), "-q"]


def outcome(root: Path) -> dict[str, str]:
    return hashes([*(root / name for name in OUTCOME), root / "queue.csv"])


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """A project, its untouched workspace, how long a cycle takes and what comes out of it."""
    base = tmp_path_factory.mktemp("crash")
    photos = Photos(base / "project").draw(12, annotated=8)
    root = base / "W"
    settings = ["train.epochs=3", "train.workers=0", "score.workers=0", "model.input_size=64", "score.shard=2"]
    flags = [word for setting in settings for word in ("--set", setting)]
    places = ["--images", str(photos.images), "--annotations", str(photos.annotations), "--model", "ssd-tiny"]
    subprocess.run([sys.executable, "-m", "alcli", "init", str(root), *places, *flags, "-q"], check=True)
    fresh = base / "fresh"
    shutil.copytree(root, fresh)
    started = time.monotonic()
    subprocess.run(command(root), check=True)
    return photos, fresh, time.monotonic() - started, outcome(root)


def killed_and_run_again(undisturbed, tmp_path: Path, seed: int) -> None:
    photos, fresh, seconds, expected = undisturbed
    root = tmp_path / "W"
    shutil.copytree(fresh, root)
    process = subprocess.Popen(command(root))
    time.sleep(seconds * random.Random(seed).uniform(0.2, 1.05))
    process.kill()
    process.wait()
    subprocess.run(command(root), check=True)
    assert outcome(root) == expected
    assert not [path for path in (*root.rglob("*"), *photos.root.rglob("*")) if path.name.startswith(TEMPORARY_PREFIX)]
    again = subprocess.run([*command(root)[:-1], "--json"], capture_output=True, text=True, check=True)
    assert '"nothing_new": true' in again.stdout


@pytest.mark.parametrize("seed", range(2))
def test_killed_at_a_random_instant(undisturbed, tmp_path, seed):
    killed_and_run_again(undisturbed, tmp_path, seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2, 40))
def test_killed_at_many_random_instants(undisturbed, tmp_path, seed):
    killed_and_run_again(undisturbed, tmp_path, seed)


def test_told_to_stop_while_training_it_finishes_the_step_and_goes_on_from_there(undisturbed, tmp_path, monkeypatch):
    _, fresh, _, expected = undisturbed
    root = tmp_path / "W"
    shutil.copytree(fresh, root)
    real = StepCheckpoints.due

    def due(self, steps):
        if steps == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        return real(self, steps)

    monkeypatch.setattr(StepCheckpoints, "due", due)
    assert cli.run(command(root)[3:]) == 143
    monkeypatch.undo()
    assert (root / "cycles/0001/checkpoint-a.safetensors").is_file()
    again = subprocess.run([*command(root)[:-1], "-v"], stderr=subprocess.PIPE, text=True, check=True)
    assert "Resuming the interrupted training in epoch 2." in again.stderr
    assert "epoch 1/3" not in again.stderr
    assert outcome(root) == expected
    assert not list(root.rglob("checkpoint-*"))


def test_a_damaged_checkpoint_costs_time_and_nothing_else(undisturbed, tmp_path, monkeypatch):
    _, fresh, _, expected = undisturbed
    root = tmp_path / "W"
    shutil.copytree(fresh, root)
    stopped = [*command(root), "--set", "train.checkpoint_every=1"]
    monkeypatch.setattr(StepCheckpoints, "keep", stopping_after(2, StepCheckpoints.keep))
    assert cli.run(stopped[3:]) == 143
    monkeypatch.undo()
    file = max(root.glob("cycles/0001/checkpoint-*"), key=lambda path: path.stat().st_mtime_ns)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 4
    file.write_bytes(content)
    subprocess.run(command(root), check=True)
    assert outcome(root) == expected


def stopping_after(count: int, keep):
    seen = []

    def kept(self, state):
        keep(self, state)
        seen.append(state)
        if len(seen) == count:
            raise Interrupted(15)

    return kept
