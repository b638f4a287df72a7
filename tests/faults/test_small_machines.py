"""Whole cycles where something that a machine usually has is missing: shared memory, descriptors, a short TMPDIR."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.faults.hardships import FEW_FILES, Machine, can_mount, other_shm


@pytest.fixture(scope="module")
def machine(tmp_path_factory) -> Machine:
    return Machine.make(tmp_path_factory.mktemp("small"))


@pytest.mark.skipif(not can_mount(), reason="this machine does not let a process mount a /dev/shm of its own")
@pytest.mark.parametrize("options", ["size=64K", "ro"])
def test_without_shared_memory(machine, options):
    """64 KiB hold no batch, and a read-only folder not even a semaphore."""
    assert machine.cycle(f"shm-{options}", other_shm(options)).wrong == ()


def test_with_24_open_files(machine):
    assert machine.cycle("files", FEW_FILES).wrong == ()


def test_with_a_long_name_of_the_temporary_folder(machine):
    folder = machine.place / ("t" * 100)
    folder.mkdir()
    assert machine.cycle("long", environment={"TMPDIR": str(folder)}).wrong == ()


def test_doctor_sees_few_descriptors(machine):
    code, out, err = machine.ending(machine.start(machine.place / "W", "doctor", "--json", before=FEW_FILES))
    checks = {row["check"]: row for row in json.loads(out)["checks"]}
    assert code == 0, err
    assert checks["open files"]["level"] == "warn"
    assert "ulimit -n" in checks["open files"]["found"]
    assert checks["memory"]["found"].endswith("GiB available")
    assert "/dev/shm" in checks["shared memory"]["found"]


def test_a_training_that_waits_for_a_worker_obeys_the_first_signal(machine):
    """Every worker is stopped where it is: nothing would ever come."""
    root = machine.fresh("stuck")
    process = machine.start(root, "cycle", "--set", "train.epochs=100000", "--set", "train.workers=2", "-v")
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
    checks = json.loads(machine.ending(machine.start(root, "doctor", "--json"))[1])["checks"]
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
