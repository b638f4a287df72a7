"""The learned-loss head and its ranking loss (Yoo & Kweon, "Learning Loss for Active Learning", CVPR 2019)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

WIDTH = 128
PUBLISHED, DETACHED = "published", "detached"
"""Forms of the head: as in the paper, or one that never shapes the network and learns from all pairs of a batch."""
DETACHED_MARGIN = 0.1


class LossHead(nn.Module):
    """Predicts each image's loss from several feature maps of the model (figure 2b of the paper).

    Each map: global average pooling → linear to 128 → ReLU; all concatenated → linear to 1.
    """

    def __init__(self, channels: Sequence[int]) -> None:
        """Args: ``channels``: of each feature map, in the task's order."""
        super().__init__()
        self.channels = tuple(channels)
        self.branches = nn.ModuleList(nn.Linear(count, WIDTH) for count in channels)
        self.output = nn.Linear(WIDTH * len(self.branches), 1)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Predict each image's loss.

        Args:
            features: maps [(batch, C_i, H_i, W_i)] with the ``channels`` of the constructor.

        Returns:
            (batch,) float32, unitless; only their order is meaningful.
        """
        # bfloat16 has three significant digits, so thousands of items would tie; the head is cheap in float32.
        with torch.autocast(features[0].device.type, enabled=False):
            pooled = [
                torch.relu(branch(feature.mean(dim=(2, 3), dtype=torch.float32)))  # (batch, WIDTH)
                for branch, feature in zip(self.branches, features, strict=True)
            ]
            return self.output(torch.cat(pooled, dim=1)).squeeze(1)


def ranking_loss(predicted: Tensor, actual: Tensor, margin: float = 1.0) -> Tensor:
    """Penalize pairs that the loss head orders wrongly (eq. 2).

    Args:
        predicted, actual: (batch,) losses; item i is paired with item batch−1−i, an odd middle item is skipped.
        margin: ξ, the smallest gap in predicted units that is not penalized.

    Returns:
        Mean hinge loss over batch // 2 pairs; 0, with a gradient, without pairs. A pair with equal true losses costs
        the margin and has no gradient.
    """
    pairs = len(predicted) // 2
    gap = (predicted - predicted.flip(0))[:pairs]
    order = torch.sign((actual - actual.flip(0))[:pairs].detach())
    if pairs == 0:
        return predicted.sum() * 0.0
    return (margin - order * gap).clamp(min=0).mean()


def all_pairs_loss(predicted: Tensor, actual: Tensor, margin: float = DETACHED_MARGIN) -> Tensor:
    """Penalize every pair of the batch that the loss head orders wrongly, the more the further its ranks are apart.

    Σ w · max(0, margin − s · (û_i − û_j)) / Σ w over all pairs, with s the sign of the true difference and w the
    difference of the true ranks.

    Args:
        predicted, actual: (batch,) losses.

    Returns:
        0, with a gradient, without two different true losses.
    """
    ranks = (actual.detach()[:, None] > actual.detach()).sum(dim=1)  # equal losses have equal ranks
    apart = ranks[:, None] - ranks  # (batch, batch)
    weights = apart.abs().triu(1).to(predicted)
    if not weights.any():
        return predicted.sum() * 0.0
    gaps = predicted[:, None] - predicted
    return (weights * (margin - apart.sign() * gaps).clamp(min=0)).sum() / weights.sum()


def form_loss(form: str, predicted: Tensor, actual: Tensor, margin: float) -> Tensor:
    """The ranking loss of a form of the head; ``margin`` is that of the published one."""
    return ranking_loss(predicted, actual, margin) if form == PUBLISHED else all_pairs_loss(predicted, actual)


def total_loss(losses: Tensor, predicted: Tensor, weight: float, margin: float, form: str = PUBLISHED) -> Tensor:
    """Mean task loss plus λ times the ranking loss (eq. 3).

    Args:
        losses: (batch,) true losses. predicted: (batch,) losses from the loss head.
        weight: λ; 0 leaves only the task loss.
        form: of the loss head.
    """
    return losses.mean() + weight * form_loss(form, predicted, losses, margin)
