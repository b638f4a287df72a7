"""The learned-loss head and its ranking loss (Yoo & Kweon, "Learning Loss for Active Learning", CVPR 2019)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

WIDTH = 128


class LossHead(nn.Module):
    """Predicts each image's loss from several feature maps of the model (figure 2b of the paper).

    Each map: global average pooling → linear to 128 → ReLU; all concatenated → linear to 1.
    """

    def __init__(self, channels: Sequence[int]) -> None:
        """Args: ``channels``: of each feature map, in the order in which the task gives them."""
        super().__init__()
        self.channels = tuple(channels)
        self.branches = nn.ModuleList(nn.Linear(count, WIDTH) for count in channels)
        self.output = nn.Linear(WIDTH * len(self.branches), 1)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Predicted losses.

        Args:
            features: maps [(batch, C_i, H_i, W_i)], C_i as given at birth.

        Returns:
            (batch,) float32, unitless; only their order means anything.
        """
        # bfloat16 has three digits: thousands of items would tie. The head is small enough for float32.
        with torch.autocast(features[0].device.type, enabled=False):
            pooled = [
                torch.relu(branch(feature.mean(dim=(2, 3), dtype=torch.float32)))
                for branch, feature in zip(self.branches, features, strict=True)
            ]
            return self.output(torch.cat(pooled, dim=1)).squeeze(1)


def ranking_loss(predicted: Tensor, actual: Tensor, margin: float = 1.0) -> Tensor:
    """Penalise pairs that the loss head puts in the wrong order (eq. 2).

    Args:
        predicted, actual: (batch,) losses; item i is paired with item batch−1−i, an odd middle item is left out.
        margin: ξ, the smallest gap in predicted units that counts as certain.

    Returns:
        Mean hinge over batch // 2 pairs; without a pair a zero that still carries a gradient. A tie has no right
        order: it costs the margin and pulls nowhere.
    """
    pairs = len(predicted) // 2
    gap = (predicted - predicted.flip(0))[:pairs]
    order = torch.sign((actual - actual.flip(0))[:pairs].detach())
    if pairs == 0:
        return predicted.sum() * 0.0
    return (margin - order * gap).clamp(min=0).mean()


def total_loss(losses: Tensor, predicted: Tensor, weight: float, margin: float) -> Tensor:
    """Mean task loss plus λ times the ranking loss (eq. 3).

    Args:
        losses: (batch,) true losses of the items. predicted: (batch,) what the loss head expected.
        weight: λ; 0 leaves only the task loss.
    """
    return losses.mean() + weight * ranking_loss(predicted, losses, margin)
