"""Whole cycles where something that a machine usually has is missing: shared memory, descriptors, a short TMPDIR."""

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

from tests.support.hashes import hashes
from tests.support.scenes import Photos

SETTINGS = ("train.epochs=1", "train.batch_size=2", "train.workers=8", "score.workers=8", "score.batch_size=2",
            "model.input_size=64", "train.validation=0", "report.enabled=false")  # fmt: skip
MADE = ("model.safetensors", "scores.csv", "priorities.csv")
SECONDS = 300


def can_mount() -> bool:
    """Whether a namespace of its own may have another /dev/shm."""
    command = ["unshare", "-rm", "sh", "-c", "mount -t tmpfs -o size=1M none /dev/shm"]
    return shutil.which("unshare") is not None and subprocess.run(command, capture_output=True).returncode == 0


def alcli(root: Path, *arguments: str, before: list[str] | None = None, **options: object) -> subprocess.Popen[str]:
    command = [*(before or []), sys.executable, "-m", "alcli", *arguments, "-w", str(root)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **options.pop("environment", {})}  # type: ignore[dict-item]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, **options
    )


@pytest.fixture(scope="module")
def blank(tmp_path_factory) -> Path:
    """A workspace before its first cycle, and the list that every cycle must make."""
    place = tmp_path_factory.mktemp("small")
    photos = Photos(place / "project").draw(24, annotated=16)
    settings = [word for setting in SETTINGS for word in ("--set", setting)]
    flags = ("--images", photos.images, "--annotations", photos.annotations, "--model", "ssd-tiny", *settings)
    command = [sys.executable, "-m", "alcli", "init", place / "W", *flags]
    subprocess.run(command, check=True, capture_output=True)
    shutil.copytree(place / "W", place / "calm")
    assert ending(alcli(place / "calm", "cycle", "--set", "train.workers=0", "--set", "score.workers=0"))[0] == 0
    return place


def ending(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    with process:
        out, err = process.communicate(timeout=SECONDS)
    return process.returncode, out, err


def made(root: Path) -> dict[str, str]:
    return hashes(root / "cycles/0001" / name for name in MADE)


def fresh(blank: Path, name: str) -> Path:
    (blank / "project/annotations/queue.csv").unlink(missing_ok=True)
    return Path(shutil.copytree(blank / "W", blank / name))


@pytest.mark.skipif(not can_mount(), reason="this machine does not let a process mount a /dev/shm of its own")
@pytest.mark.parametrize("size", ["64K", "0"])
def test_without_shared_memory(blank, size):
    """64 KiB hold no batch; then not even a semaphore."""
    root = fresh(blank, f"shm-{size}")
    mount = f'mount -t tmpfs -o {"size=64K" if size == "64K" else "ro"} none /dev/shm && exec "$@"'
    code, _, err = ending(alcli(root, "cycle", before=["unshare", "-rm", "sh", "-c", mount, "sh"]))
    assert code == 0, err
    assert made(root) == made(blank / "calm")


def test_with_24_open_files(blank):
    root = fresh(blank, "files")
    code, _, err = ending(alcli(root, "cycle", before=["sh", "-c", 'ulimit -n 24; exec "$@"', "sh"]))
    assert code == 0, err
    assert err.count("ulimit -n") >= 1
    assert "Traceback" not in err
    assert made(root) == made(blank / "calm")


def test_with_a_long_name_of_the_temporary_folder(blank):
    root = fresh(blank, "long")
    folder = blank / ("t" * 100)
    folder.mkdir()
    code, _, err = ending(alcli(root, "cycle", environment={"TMPDIR": str(folder)}))
    assert code == 0, err
    assert made(root) == made(blank / "calm")


def test_doctor_sees_few_descriptors(blank):
    process = alcli(blank / "W", "doctor", "--json", before=["sh", "-c", 'ulimit -n 24; exec "$@"', "sh"])
    code, out, err = ending(process)
    checks = {row["check"]: row for row in json.loads(out)["checks"]}
    assert code == 2, err
    assert not checks["open files"]["ok"]
    assert "ulimit -n" in checks["open files"]["found"]
    assert checks["memory"]["found"].endswith("GiB available")
    assert "/dev/shm" in checks["shared memory"]["found"]


def test_a_training_that_waits_for_a_worker_obeys_the_first_signal(blank):
    """Every worker is stopped where it is: nothing would ever come."""
    root = fresh(blank, "stuck")
    process = alcli(root, "cycle", "--set", "train.epochs=100000", "--set", "train.workers=2", "-v")
    with process:
        children = wait_for_workers(process, 2)
        for child in children:
            os.kill(child, signal.SIGSTOP)
        time.sleep(1)
        process.terminate()
        started = time.monotonic()
        _, err = process.communicate(timeout=60)
    assert process.returncode == 143, err
    assert time.monotonic() - started < 15  # 10 s, and room for a busy machine
    assert not any(Path(f"/proc/{child}/exe").exists() for child in children)
    checks = json.loads(ending(alcli(root, "doctor", "--json"))[1])["checks"]
    assert next(row["found"] for row in checks if row["check"] == "lock") == "free"


def wait_for_workers(process: subprocess.Popen[str], count: int) -> list[int]:
    """Children of a process that trains; those that inspected images are gone by then."""
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("Training ssd"):
            break
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        if len(children) == count:
            return [int(child) for child in children]
        time.sleep(0.05)
    pytest.fail("no workers")
