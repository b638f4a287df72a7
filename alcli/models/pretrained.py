"""Which ImageNet weights a network starts from, and whether this machine has them or can get them; without torch."""

from __future__ import annotations

import http.client
import os
import shutil
import threading
import urllib.request
from pathlib import Path

from alcli.system.files import SHARED, atomic_write
from alcli.system.hashing import sha256_of

LIGHT = {
    "classification": "mobilenet-v3-small",
    "detection": "ssd-mobilenet-v2",
    "pose": "mobilenet-v2",
    "segmentation": "mobilenet-v2",
}
"""The default network of each built-in task."""
FILES = {
    "detection/ssd300-vgg16": "vgg16_features-amdegroot-88682ab5.pth",
    "detection/ssdlite320-mobilenet-v3": "mobilenet_v3_large-8738ca79.pth",
    "detection/ssd-mobilenet-v2": "mobilenet_v2-b0353104.pth",
    "classification/mobilenet-v3-small": "mobilenet_v3_small-047dcff4.pth",
    "classification/mobilenet-v2": "mobilenet_v2-7ebf99e0.pth",
    "classification/resnet18": "resnet18-f37072fd.pth",
    "segmentation/lraspp-mobilenet-v3-large": "mobilenet_v3_large-8738ca79.pth",
    "segmentation/deeplabv3-mobilenet-v3-large": "mobilenet_v3_large-8738ca79.pth",
    "segmentation/mobilenet-v2": "mobilenet_v2-b0353104.pth",
    "pose/mobilenet-v2": "mobilenet_v2-b0353104.pth",
}
"""``task/model`` → torchvision's file for its trunk. Its name ends with the first digits of its SHA-256."""
ADDRESS = "https://download.pytorch.org/models/"
OFFLINE = "ALCLI_OFFLINE"
"""The environment variable that forbids the download."""
PATIENCE = 3.0
"""Seconds to wait for an answer; one attempt."""
STALLED = 20.0
"""Seconds without a byte after which a download is given up."""


def cached(name: str) -> bool:
    """Whether torchvision's cache holds this file, undamaged."""
    path = cache_folder() / name
    digits = name.removesuffix(".pth").rpartition("-")[2]
    return path.is_file() and sha256_of(path).startswith(digits)


def cache_folder() -> Path:
    """Where torchvision keeps what it downloads."""
    home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(os.environ.get("TORCH_HOME") or Path(home, "torch")).expanduser() / "hub" / "checkpoints"


def offline() -> bool:
    """Whether the environment forbids the download."""
    return os.environ.get(OFFLINE, "") not in ("", "0")


def obtain(name: str) -> str:
    """Make sure the cache holds this file; returns why it cannot, or an empty text."""
    if cached(name):
        return ""
    if offline():
        return f"the ImageNet weights are not in the cache, and {OFFLINE} forbids the download"
    reason = _unreachable(ADDRESS + name) or _download(name)
    return f"the ImageNet weights are not in the cache and cannot be downloaded ({reason})" if reason else ""


def _unreachable(address: str) -> str:
    """Ask once for the first byte; a name server that does not answer ignores every time limit, so a thread waits."""
    answers: list[str] = []

    def ask() -> None:
        try:
            urllib.request.urlopen(address, timeout=PATIENCE).close()
            answers.append("")
        except (OSError, ValueError, http.client.HTTPException) as error:
            answers.append(_reason(error))

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    return answers[0] if answers else f"no answer within {PATIENCE:g} s"


def _download(name: str) -> str:
    path = cache_folder() / name
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with (
            urllib.request.urlopen(ADDRESS + name, timeout=STALLED) as response,
            atomic_write(path, "wb", SHARED) as stream,
        ):
            shutil.copyfileobj(response, stream)
    except (OSError, ValueError, http.client.HTTPException) as error:
        return _reason(error)
    if cached(name):
        return ""
    path.unlink(missing_ok=True)
    return "what arrived is not the file"


def _reason(error: Exception) -> str:
    return str(getattr(error, "reason", error) or type(error).__name__)
