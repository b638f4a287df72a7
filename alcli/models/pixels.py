"""From image pixels to network input."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import Tensor


def to_tensor(image: Image.Image, size: tuple[int, int] | None = None) -> Tensor:
    """An image as (3, height, width) uint8; with ``size`` = (width, height), resized with antialiasing."""
    if size and image.size != size:
        image = image.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)


def normalize(images: Tensor, mean: list[float], std: list[float]) -> Tensor:
    """(x / 255 − mean) / std: (batch, 3, H, W) uint8 → float32 in channels-last memory format."""
    if images.numel() > 3 and not any(images.stride()):  # one value, expanded: one pixel says all
        return normalize(images[:1, :, :1, :1].contiguous(), mean, std).expand(images.shape)
    batch, channels, height, width = images.shape
    scale = torch.tensor([1 / (255 * value) for value in std], device=images.device).repeat(width)
    shift = torch.tensor([-m / s for m, s in zip(mean, std, strict=True)], device=images.device).repeat(width)
    # One vector per image line, not per pixel: three values would not fill a SIMD register (3 times as fast).
    lines = images.permute(0, 2, 3, 1).reshape(batch * height, width * channels).float()  # (lines, values)
    return torch.addcmul(shift, lines, scale).view(batch, height, width, channels).permute(0, 3, 1, 2)
