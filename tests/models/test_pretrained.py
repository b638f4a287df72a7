"""ImageNet weights: which files, from where, and how soon a missing network is known."""

from __future__ import annotations

import hashlib
import http.server
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torchvision

from alcli.models import pretrained
from alcli.tasks.classification import Classification
from alcli.tasks.detection import Detection
from alcli.tasks.pose import Pose
from alcli.tasks.segmentation import Segmentation

CONTENT = b"weights"
FILE = f"net-{hashlib.sha256(CONTENT).hexdigest()[:8]}.pth"
WEIGHTS = {
    "detection/ssd300-vgg16": "VGG16_Weights.IMAGENET1K_FEATURES",
    "detection/ssdlite320-mobilenet-v3": "MobileNet_V3_Large_Weights.IMAGENET1K_V1",
    "detection/ssd-mobilenet-v2": "MobileNet_V2_Weights.IMAGENET1K_V1",
    "classification/mobilenet-v3-small": "MobileNet_V3_Small_Weights.DEFAULT",
    "classification/mobilenet-v2": "MobileNet_V2_Weights.DEFAULT",
    "classification/resnet18": "ResNet18_Weights.DEFAULT",
    "segmentation/lraspp-mobilenet-v3-large": "MobileNet_V3_Large_Weights.IMAGENET1K_V1",
    "segmentation/deeplabv3-mobilenet-v3-large": "MobileNet_V3_Large_Weights.IMAGENET1K_V1",
    "segmentation/mobilenet-v2": "MobileNet_V2_Weights.IMAGENET1K_V1",
    "pose/mobilenet-v2": "MobileNet_V2_Weights.IMAGENET1K_V1",
}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and permission to ask the network."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.delenv(pretrained.OFFLINE)
    return tmp_path / "hub/checkpoints"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[http.server.HTTPServer]:
    """Answers every request with ``CONTENT``."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(CONTENT)))
            self.end_headers()
            self.wfile.write(CONTENT)

        def log_message(self, *arguments: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        monkeypatch.setattr(pretrained, "ADDRESS", f"http://127.0.0.1:{running.server_port}/")
        yield running
        running.shutdown()


def test_the_files_are_those_that_torchvision_loads():
    urls = {key: torchvision.models.get_weight(name).url for key, name in WEIGHTS.items()}
    assert {key: pretrained.ADDRESS + name for key, name in pretrained.FILES.items()} == urls


def test_the_cache_is_torchs(monkeypatch):
    for home in ("/somewhere", ""):
        monkeypatch.setenv("TORCH_HOME", home) if home else monkeypatch.delenv("TORCH_HOME")
        assert str(pretrained.cache_folder()) == f"{torch.hub.get_dir()}/checkpoints"


def test_every_task_has_its_light_network_in_the_table():
    tasks = {"classification": Classification, "detection": Detection, "pose": Pose, "segmentation": Segmentation}
    assert {name: task.light_model for name, task in tasks.items()} == pretrained.LIGHT
    assert all(f"{task}/{model}" in pretrained.FILES for task, model in pretrained.LIGHT.items())


def test_a_file_is_downloaded_once(home, server):
    assert not pretrained.cached(FILE)
    assert pretrained.obtain(FILE) == ""
    assert (home / FILE).read_bytes() == CONTENT
    server.shutdown()
    assert pretrained.obtain(FILE) == ""


def test_a_file_with_other_content_is_not_kept(home, server):
    assert "what arrived is not the file" in pretrained.obtain("net-00000000.pth")
    assert list(home.iterdir()) == []
    (home / FILE).write_bytes(b"torn")
    assert not pretrained.cached(FILE)
    assert pretrained.obtain(FILE) == "" and pretrained.cached(FILE)


def test_without_a_network_the_answer_is_quick(home, monkeypatch):
    monkeypatch.setattr(pretrained, "ADDRESS", "http://127.0.0.1:9/")
    started = time.monotonic()
    assert "cannot be downloaded" in pretrained.obtain(FILE)
    assert time.monotonic() - started < 2


def test_a_name_server_that_is_silent_costs_one_short_wait(home, monkeypatch):
    asked = []

    def silent(address: str, timeout: float) -> None:
        asked.append(address)
        time.sleep(1)
        raise OSError

    monkeypatch.setattr(pretrained, "PATIENCE", 0.2)
    monkeypatch.setattr("urllib.request.urlopen", silent)
    started = time.monotonic()
    assert "no answer within 0.2 s" in pretrained.obtain(FILE)
    assert time.monotonic() - started < 0.9 and len(asked) == 1


def test_the_environment_forbids_the_download(home, server, monkeypatch):
    monkeypatch.setenv(pretrained.OFFLINE, "1")
    assert "ALCLI_OFFLINE forbids the download" in pretrained.obtain(FILE)
    assert not home.exists()
