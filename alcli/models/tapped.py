"""Networks in two parts: maps that the loss head can tap, and a last layer that turns some of them into outputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn


class Tapped(nn.Module):
    """A network whose last layer can be run again on its own, as MC dropout does.

    Attributes:
        trunk: what pretrained weights fill and ``train.freeze_backbone`` holds still.
        predictors: names of the last layers; their rows stand for the classes.
    """

    trunk: Any
    predictors: tuple[str, ...]

    def maps(self, images: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Of normalised (rows, 3, H, W): maps [(rows, C_i, H_i, W_i)] for the loss head, and what ``predict`` takes."""
        raise NotImplementedError

    def predict(self, deep: list[Tensor]) -> Tensor:
        """The outputs, (rows, classes) or (rows, classes, h, w)."""
        raise NotImplementedError

    def forward(self, images: Tensor) -> Tensor:
        """Normalised (rows, 3, H, W) → outputs."""
        return self.predict(self.maps(images)[1])


def move_classes(model: Tapped, state: dict[str, Tensor], old: Sequence[str], new: Sequence[str]) -> dict[str, Tensor]:
    """A state dict for the new classes: rows of known classes move to their new place, unknown ones start fresh."""
    fresh, moved = model.state_dict(), dict(state)
    known = [(place, old.index(name)) for place, name in enumerate(new) if name in old]
    for key in [f"{layer}.{part}" for layer in model.predictors for part in ("weight", "bias")]:
        if key in state and key in fresh:
            rows = fresh[key].detach().cpu().clone()
            for place, source in known:
                rows[place] = state[key][source]
            moved[key] = rows
    return moved


def pooled(maps: Sequence[Tensor]) -> Tensor:
    """(rows, sum of channels) float32: vectors as they are, maps by their mean over positions."""
    return torch.cat([part.float() if part.dim() == 2 else part.float().mean(dim=(2, 3)) for part in maps], dim=1)
