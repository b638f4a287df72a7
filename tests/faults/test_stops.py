"""Told to stop in whatever it is doing, a run ends within ten seconds, and its workspace is free."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from PIL import Image

from tests.faults.sweeps import OBEYED
from tests.support.scenes import Photos
from tests.support.superannotate_server import TOKEN, Fault, Server

SMALL = ("--model", "ssd-tiny", "--set", "train.epochs=1", "--set", "model.input_size=64", "--set", "train.workers=0",
         "--set", "score.workers=1", "-q")  # fmt: skip
SECONDS = 120


def start(*words: object, environment: dict[str, str] | None = None) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "alcli", *map(str, words)]
    return subprocess.Popen(
        command, env={**os.environ, **(environment or {})}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def run(*words: object, environment: dict[str, str] | None = None) -> tuple[int, str]:
    process = start(*words, environment=environment)
    out, err = process.communicate(timeout=SECONDS)
    return process.returncode, out + err


def stop(process: subprocess.Popen[str], lines: Sequence[str], after: float = 0.5) -> tuple[int, float, str]:
    """(exit code, seconds, last lines) of a run that is told to stop once it has printed a line that begins so."""
    assert process.stderr is not None
    printed: list[str] = []
    watch = threading.Timer(SECONDS, process.kill)
    watch.start()
    for line in process.stderr:
        printed.append(line)
        if line.startswith(tuple(lines)):
            break
    time.sleep(after)
    process.terminate()
    told = time.monotonic()
    rest = process.communicate(timeout=SECONDS)[1]
    watch.cancel()
    return process.returncode, time.monotonic() - told, "".join(printed) + rest


def assert_obeyed(ended: tuple[int, float, str], root: Path) -> None:
    code, seconds, printed = ended
    assert code == 143, printed
    assert seconds < OBEYED, printed
    assert "Traceback" not in printed
    checks = json.loads(start("doctor", "-w", root, "--json").communicate(timeout=SECONDS)[0])["checks"]
    assert next(row["found"] for row in checks if row["check"] == "lock") == "free"


@pytest.fixture
def project(tmp_path) -> tuple[Photos, Path]:
    photos = Photos(tmp_path / "project").draw(24, 24)
    root = tmp_path / "W"
    assert run("init", root, "--images", photos.images, "--annotations", photos.annotations, *SMALL)[0] == 0
    return photos, root


def test_while_it_decodes(project):
    """Thirty images of which each takes a good part of a second, in processes of their own."""
    photos, root = project
    first = photos.images / "large_00.png"
    Image.effect_noise((2500, 2500), 90).convert("RGB").save(first, compress_level=1)
    for number in range(1, 30):
        os.link(first, first.with_name(f"large_{number:02d}.png"))
    # The scoring pass decodes; progress comes some seconds apart.
    assert_obeyed(stop(start("cycle", "-w", root, "-v"), ["Scoring", "Evaluating", "Inspecting"], 2), root)


def test_while_it_trains(project):
    _, root = project
    training = start("cycle", "-w", root, "-v", "--set", "train.epochs=100000")
    assert_obeyed(stop(training, ["Training ssd"], 1), root)
    code, printed = run("cycle", "-w", root)
    assert code == 0, printed


def test_while_it_simulates(project):
    _, root = project
    assert run("pull", "-w", root)[0] == 0
    flags = ("--strategies", "margin", "--start", 3, "--budget", 2, "--cycles", 2, "--seeds", 200, "--test", 0.7)
    assert_obeyed(stop(start("simulate", "-w", root, *flags), ["Simulating"], 1), root)


def test_while_a_service_does_not_answer(tmp_path):
    root = tmp_path / "W"
    with Server() as server:
        environment = {"SA_URL": server.url, "SA_TOKEN": TOKEN}
        for number in range(3):
            server.images[f"{server.add(f'{number}.png')}.jpg"] = b"\xff\xd8\xff" + bytes(100)
        flags = ("--platform", "superannotate", "--project", "Cells/*", *SMALL)
        assert run("init", root, *flags, environment=environment)[0] == 0
        server.hang = 60
        server.faults = [Fault("hang", "/photos/", times=99)]
        waiting = start("cycle", "-w", root, "-v", environment=environment)
        deadline = time.monotonic() + SECONDS
        while not any("/photos/" in path for path in list(server.requests)) and time.monotonic() < deadline:
            time.sleep(0.1)
        waiting.terminate()
        told = time.monotonic()
        printed = waiting.communicate(timeout=SECONDS)[1]
        assert_obeyed((waiting.returncode, time.monotonic() - told, printed), root)
