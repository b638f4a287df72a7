"""A small head over the maps of a frozen trunk: one grid, one output vector per cell; trains in seconds.

Each map is brought to 64 channels and one grid and summed, as in Lin et al., "Feature Pyramid Networks for Object
Detection", CVPR 2017: of a finer map, a cell sees all positions inside it; a coarser one is repeated. A
depthwise-separable block follows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from alcli.models.pyramid import near_zero_output
from alcli.models.tapped import Tapped

WIDTH = 64


class MemorizedTrunk(nn.Module):
    """Stands for a frozen trunk whose maps were computed before: returns those of the rows it was given.

    Attributes:
        maps: [(rows, C_i, H_i, W_i)] of the next batch.
    """

    def __init__(self) -> None:
        super().__init__()
        self.maps: list[Tensor] = []

    def forward(self, images: Tensor) -> list[Tensor]:
        """The maps of the batch, whatever the pixels."""
        return self.maps


class Cells(nn.Module):
    """Maps of a trunk → one map (rows, 64, h, w) on the grid of one of them.

    Args:
        shapes: (channels, height, width) of each map, the finest first.
        grid: which map's grid is used.
    """

    def __init__(self, shapes: Sequence[tuple[int, int, int]], grid: int) -> None:
        super().__init__()
        self.grid = shapes[grid][1:]
        laterals = []
        for channels, height, _ in shapes:
            steps = max(1, round(height / self.grid[0]))  # positions of the map in one cell, each way
            laterals.append(nn.Conv2d(channels, WIDTH, steps, stride=steps))
        self.laterals = nn.ModuleList(laterals)
        self.norm = nn.BatchNorm2d(WIDTH)
        self.block = nn.Sequential(
            nn.Conv2d(WIDTH, WIDTH, 3, padding=1, groups=WIDTH, bias=False),
            nn.BatchNorm2d(WIDTH),
            nn.ReLU(),
            nn.Conv2d(WIDTH, WIDTH, 1, bias=False),
            nn.BatchNorm2d(WIDTH),
            nn.ReLU(),
        )

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """[(rows, C_i, H_i, W_i)] → (rows, 64, h, w)."""
        total = sum(
            _to_grid(lateral(_whole_cells(part, round(part.shape[2] / self.grid[0]), self.grid)), self.grid)
            for lateral, part in zip(self.laterals, maps, strict=True)
        )
        return self.block(F.relu(self.norm(total)))


class CellMaps(Tapped):
    """Outputs (rows, outputs, h, w) for every cell of the grid, such as class scores or heatmaps."""

    predictors = ("output",)

    def __init__(self, shapes: Sequence[tuple[int, int, int]], grid: int, outputs: int) -> None:
        super().__init__()
        self.trunk: Any = MemorizedTrunk()
        self.cells = Cells(shapes, grid)
        self.output = near_zero_output(WIDTH, outputs)

    def maps(self, images: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """The fused map, twice."""
        fused = self.cells(self.trunk(images))
        return [fused], [fused]

    def predict(self, deep: list[Tensor]) -> Tensor:
        """(rows, outputs, h, w)."""
        return self.output(deep[0])


def _whole_cells(part: Tensor, steps: int, grid: tuple[int, int]) -> Tensor:
    """Zeros below and on the right where the last cells are not full."""
    right, below = grid[1] * steps - part.shape[3], grid[0] * steps - part.shape[2]
    return F.pad(part, (0, right, 0, below)) if steps > 1 and (right or below) else part


def _to_grid(part: Tensor, grid: tuple[int, int]) -> Tensor:
    return part if part.shape[2:] == torch.Size(grid) else F.interpolate(part, size=grid, mode="nearest")
