"""Networks in two parts: feature maps that the loss head taps, and a last layer that turns some into outputs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn


class Tapped(nn.Module, ABC):
    """A network whose last layer can be run on its own, as MC dropout does.

    Attributes:
        trunk: the part that pretrained weights fill and ``train.freeze_backbone`` freezes.
        predictors: names of the last layers; each row of their weights is one class.
    """

    trunk: Any
    predictors: tuple[str, ...]
    trunk_map: int | None = None
    """Which of the maps is the trunk's last, whose mean is the embedding; None: the last layer's inputs."""

    @abstractmethod
    def maps(self, images: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Normalized (rows, 3, H, W) → maps [(rows, C_i, H_i, W_i)] for the loss head, and ``predict``'s inputs."""

    @abstractmethod
    def predict(self, deep: list[Tensor]) -> Tensor:
        """Outputs of the last layer: (rows, classes) or (rows, classes, h, w)."""

    def forward(self, images: Tensor) -> Tensor:
        """Normalized (rows, 3, H, W) → outputs."""
        return self.predict(self.maps(images)[1])


def move_classes(model: Tapped, state: dict[str, Tensor], old: Sequence[str], new: Sequence[str]) -> dict[str, Tensor]:
    """A state dict for the new classes: known classes keep their weights, new ones take the model's initial weights."""
    fresh, moved = model.state_dict(), dict(state)
    kept = [(new_index, old.index(name)) for new_index, name in enumerate(new) if name in old]
    for key in [f"{layer}.{part}" for layer in model.predictors for part in ("weight", "bias")]:
        if key in state and key in fresh:
            weights = fresh[key].detach().cpu().clone()  # (classes, …)
            for new_index, old_index in kept:
                weights[new_index] = state[key][old_index]
            moved[key] = weights
    return moved


def pool_maps(maps: Sequence[Tensor]) -> Tensor:
    """Concatenate vectors and the spatial means of maps: (rows, sum of channels) float32."""
    return torch.cat([part.float() if part.dim() == 2 else part.float().mean(dim=(2, 3)) for part in maps], dim=1)
