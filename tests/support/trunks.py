"""A file of weights for a trunk."""

from __future__ import annotations

from pathlib import Path

import torch
import torchvision
from safetensors.torch import save_file


def write_trunk(path: Path, name: str = "mobilenet_v2", seed: int = 0) -> None:
    """Random weights whose batch norms fit pictures; with fresh norms all features are nearly equal."""
    torch.manual_seed(seed)
    network = torchvision.models.get_model(name, weights=None)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None
    network.train()(torch.randn(8, 3, 64, 64))
    save_file(network.state_dict(), path)
