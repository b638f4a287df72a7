"""What every test stands on: no connection leaves the machine, and small real projects to work with."""

from __future__ import annotations

import os
import shutil
import socket
from pathlib import Path

import pytest
import torch

from alcli import cli
from alcli.system import redaction
from tests.support.colours import make
from tests.support.scenes import Photos

if "PYTEST_XDIST_WORKER" in os.environ:  # the tests themselves keep every core busy
    torch.set_num_threads(1)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
# No test has ImageNet weights, whatever this machine's cache holds: `model.weights = auto` is always untrained.
os.environ["ALCLI_OFFLINE"] = "1"
os.environ["TORCH_HOME"] = os.devnull
# Nor does one wait for 400 updates: workspaces train for the epochs that they name.
os.environ["ALCLI_TRAIN_MIN_STEPS"] = "0"
real_connect = socket.socket.connect


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Escape file names that are not Unicode in captured output, which cannot be sent between processes."""
    report = yield
    report.sections = [(title, text.encode(errors="backslashreplace").decode()) for title, text in report.sections]
    return report


@pytest.fixture(autouse=True, scope="session")
def own_configuration(tmp_path_factory):
    """What tests confirm for their workspaces is kept apart from the user's own folder."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("configuration")))
        yield


@pytest.fixture(autouse=True)
def only_loopback(monkeypatch):
    """Fail any test that opens a connection to another machine."""

    def connect(self, address):
        host = address[0] if isinstance(address, tuple) else "local"
        assert host in ("127.0.0.1", "::1", "localhost", "local"), f"a test connects to {host}"
        return real_connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", connect)


@pytest.fixture(autouse=True)
def as_many_threads_as_before():
    """Fail any test after which torch computes with another number of threads: others would round otherwise."""
    before = torch.get_num_threads()
    yield
    now = torch.get_num_threads()
    torch.set_num_threads(before)
    assert now == before


@pytest.fixture(autouse=True)
def no_secrets_of_other_tests():
    """What one test keeps secret is no secret in the next."""
    before = set(redaction._SECRETS)
    yield
    redaction._SECRETS.clear()
    redaction._SECRETS.update(before)


@pytest.fixture
def photos(tmp_path: Path) -> Photos:
    """Twelve images with coloured rectangles, eight of them annotated."""
    return Photos(tmp_path / "project").draw(12, annotated=8)


@pytest.fixture
def alcli(capsys):
    """Run the command line in this process: ``code, stdout, stderr = alcli("status", "-w", W)``."""

    def call(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = cli.run([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.fixture
def workspace(photos: Photos, alcli) -> Path:
    """A workspace over ``photos`` with a tiny detector that trains for one epoch."""
    root = photos.root.parent / "W"
    code, _, err = alcli(
        "init", root, "--images", photos.images, "--annotations", photos.annotations, "--model", "ssd-tiny",
        "--budget", 2, "--set", "train.epochs=1", "--set", "train.workers=0", "--set", "score.workers=0",
        "--set", "model.input_size=64", "--set", "train.batch_size=4",
    )  # fmt: skip
    assert code == 0, err
    return root


@pytest.fixture(scope="session")
def coloured(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """(where the workspace of dark and bright images lies, a copy of how it was made)."""
    live, kept = (tmp_path_factory.mktemp("colours") / name for name in ("live", "kept"))
    live.mkdir()
    make(live)
    shutil.copytree(live, kept)
    return live, kept


@pytest.fixture
def colours(coloured: tuple[Path, Path]) -> Path:
    """The workspace as it was made, always in the same place: it remembers where its images lie."""
    live, kept = coloured
    shutil.rmtree(live)
    shutil.copytree(kept, live)
    return live / "W"
