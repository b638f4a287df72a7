"""An SSD with one anchor per cell of one grid, over the maps of a frozen trunk; objects belong to the cells inside.

An object is matched to the cells whose centers lie in its middle half, at least to the nearest one (center sampling;
Tian et al., "FCOS", ICCV 2019, section 3.2, with the smallest object first).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.ssd import SSD

from alcli.models.cells import WIDTH, Cells, MemorizedTrunk

SIDE = 4.0
"""Side of an anchor, in cells."""
SPREAD = 0.05
"""Standard deviation of the output layers' first weights."""


class CellDetector(SSD):
    """Predicts classes, background first, and one box per cell."""

    def __init__(self, shapes: Sequence[tuple[int, int, int]], grid: int, classes: int, size: tuple[int, int]) -> None:
        """Args: ``classes``: without background. ``size``: (height, width) of the network's input."""
        super().__init__(
            _FusedTrunk(shapes, grid),
            CellAnchors(),
            size,
            1 + classes,
            head=_CellHead(classes),
            score_thresh=0.01,
            nms_thresh=0.55,
            detections_per_img=100,
            topk_candidates=300,
        )

    def losses(
        self, logits: Tensor, regression: Tensor, anchors: Tensor, targets: Sequence[Mapping[str, Tensor]]
    ) -> Tensor:
        """The loss of each image (batch,), every object weighing the same however many cells it has.

        Cross-entropy and smooth L1 of the offsets at the cells of objects, and cross-entropy at the hardest background
        cells, three per cell of an object.

        Args:
            logits: (batch, cells, 1 + classes). regression: (batch, cells, 4). anchors: (cells, 4).
            targets: per image ``boxes`` (k, 4) corners in input pixels and ``labels`` (k,) from 1.
        """
        boxes = nn.utils.rnn.pad_sequence([target["boxes"] for target in targets], batch_first=True)  # (batch, k, 4)
        kinds = nn.utils.rnn.pad_sequence([target["labels"] for target in targets], batch_first=True)  # (batch, k)
        counts = torch.tensor([len(target["boxes"]) for target in targets], device=logits.device)
        owners = match_cells(anchors, boxes, counts)  # (batch, cells)
        objects = owners >= 0
        image, cell = objects.nonzero(as_tuple=True)
        box = owners[image, cell]
        labels = torch.zeros_like(owners)
        labels[image, cell] = kinds[image, box]
        confidence = F.cross_entropy(logits.transpose(1, 2), labels, reduction="none")  # (batch, cells)
        wanted = self.box_coder.encode_single(boxes[image, box], anchors[cell])
        errors = F.smooth_l1_loss(regression[image, cell], wanted, reduction="none").sum(dim=1)
        shares = _shares(image, box, boxes.shape[:2])
        positive = confidence.new_zeros(len(logits)).index_add(0, image, shares * (confidence[image, cell] + errors))
        background = (confidence * _hardest(confidence, objects, self.neg_to_pos_ratio)).sum(dim=1)
        return positive / counts.clamp(min=1) + background / objects.sum(dim=1).clamp(min=1)


def _shares(image: Tensor, box: Tensor, shape: torch.Size) -> Tensor:
    """(cells of objects,) 1 ÷ the number of cells of the cell's object; ``shape``: (images, most boxes)."""
    counts = torch.zeros(shape, device=image.device)
    counts.index_put_((image, box), torch.ones(len(image), device=image.device), accumulate=True)
    return 1 / counts[image, box]


def match_cells(anchors: Tensor, boxes: Tensor, counts: Tensor) -> Tensor:
    """(batch, cells) index of the object that each cell belongs to, −1 for background; boxes: (batch, k, 4) padded."""
    if boxes.shape[1] == 0:
        return torch.full((len(boxes), len(anchors)), -1, dtype=torch.int64, device=anchors.device)
    centers = (anchors[:, :2] + anchors[:, 2:]) / 2  # (cells, 2)
    middles, sizes = (boxes[..., :2] + boxes[..., 2:]) / 2, boxes[..., 2:] - boxes[..., :2]  # (batch, k, 2)
    offsets = (centers[None, :, None] - middles[:, None]).abs()  # (batch, cells, k, 2)
    inside = (offsets <= sizes[:, None] / 4).all(dim=3)
    inside.scatter_(1, offsets.square().sum(dim=3).argmin(dim=1, keepdim=True), True)
    real = torch.arange(boxes.shape[1], device=anchors.device) < counts[:, None]  # (batch, k)
    areas = sizes.prod(dim=2)[:, None].expand_as(inside).masked_fill(~(inside & real[:, None]), torch.inf)
    smallest = areas.min(dim=2)
    return smallest.indices.masked_fill(~smallest.values.isfinite(), -1)


def _hardest(losses: Tensor, objects: Tensor, ratio: float) -> Tensor:
    """(batch, cells) which background cells have the largest losses: ``ratio`` per cell of an object, at least one."""
    background = losses.detach().masked_fill(objects, -torch.inf)
    ranks = background.argsort(dim=1, descending=True).argsort(dim=1)
    return (ranks < ratio * objects.sum(dim=1, keepdim=True).clamp(min=1)) & ~objects


class CellAnchors(nn.Module):
    """One square per cell, four cells wide, around its center."""

    def forward(self, images: ImageList, maps: Sequence[Tensor]) -> list[Tensor]:
        """[(cells, 4)] corners in input pixels, one tensor per image."""
        height, width = maps[0].shape[2:]
        down, across = images.image_sizes[0][0] / height, images.image_sizes[0][1] / width
        y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
        centers = torch.stack([x * across, y * down], dim=2).view(-1, 2).to(maps[0].device)
        half = torch.tensor([across, down], device=maps[0].device) * SIDE / 2
        return [torch.cat([centers - half, centers + half], dim=1)] * len(images.image_sizes)


class _FusedTrunk(nn.Module):
    def __init__(self, shapes: Sequence[tuple[int, int, int]], grid: int) -> None:
        super().__init__()
        self.trunk = MemorizedTrunk()
        self.cells = Cells(shapes, grid)

    def forward(self, images: Tensor) -> OrderedDict[str, Tensor]:
        return OrderedDict({"0": self.cells(self.trunk(images))})


class _CellHead(nn.Module):
    def __init__(self, classes: int) -> None:
        super().__init__()
        self.classification_head = _CellOutput(1 + classes)
        self.regression_head = _CellOutput(4)

    def forward(self, maps: list[Tensor]) -> dict[str, Tensor]:
        return {"cls_logits": self.classification_head(maps), "bbox_regression": self.regression_head(maps)}


class _CellOutput(nn.Module):
    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.output = nn.Conv2d(WIDTH, outputs, 1)
        nn.init.normal_(self.output.weight, std=SPREAD)
        nn.init.zeros_(self.output.bias)  # type: ignore[arg-type]

    def forward(self, maps: list[Tensor]) -> Tensor:
        """(rows, cells, outputs)."""
        return self.output(maps[0]).flatten(2).transpose(1, 2)
