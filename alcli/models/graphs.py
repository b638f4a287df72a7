"""The part of a network that another runtime can compute, and the stand-in that uses it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.detection.ssd import SSD

from alcli.models import ssd
from alcli.models.cell_detector import CellDetector
from alcli.models.compiled import CompiledDetector, CompiledTapped, Run
from alcli.models.tapped import Tapped


class Graph(nn.Module):
    """Normalized (rows, 3, H, W) → tensors: the maps for the loss head first, then what the task reads.

    The loss head and the embedding read means of maps only, so means leave the runtime, unless ``whole``.
    """

    def __init__(self, network: nn.Module, whole: bool) -> None:
        super().__init__()
        self.network, self._whole = network, whole

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Run the network without its postprocessing or last layer."""
        features, others = self._outputs(images)
        if not self._whole:
            features = [feature.mean(dim=(2, 3), keepdim=True) for feature in features]
        return (*features, *others)

    def tapped(self, images: Tensor) -> int:
        """How many outputs are maps for the loss head."""
        return len(self._outputs(images)[0])

    def _outputs(self, images: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        network: Any = self.network
        if isinstance(network, Tapped):
            return network.maps(images)
        features = ssd.source_maps(network, images)
        head = network.head(features)
        return features, [head["cls_logits"], head["bbox_regression"]]


def has_graph(network: nn.Module) -> bool:
    """Whether the network is of a kind that can be split; one of another package may not be."""
    return isinstance(network, Tapped | SSD) and not isinstance(network, CellDetector)


def needs_whole_maps(network: nn.Module, signals: frozenset[str]) -> bool:
    """Whether a detector's own maps are read: dropout samples go through its head again."""
    return isinstance(network, SSD) and "mutual_information" in signals


def stand_in(network: nn.Module, run: Run, tapped: int, shape_hw: tuple[int, int]) -> nn.Module:
    """The network with its graph computed by ``run``."""
    if isinstance(network, Tapped):
        return CompiledTapped(network, run, tapped)
    device = next(network.parameters()).device
    with torch.inference_mode():
        anchors = ssd.forward(network, torch.zeros(1, 3, *shape_hw, device=device)).anchors
    return CompiledDetector(network, run, anchors.clone())
