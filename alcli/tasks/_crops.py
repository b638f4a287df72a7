"""Crops of people, and joint coordinates in image, crop and heatmap.

Coordinates are continuous: the left edge of the first pixel is 0, its center 0.5.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from alcli.annotations import Annotation, Box, Pose
from alcli.models import pixels

PADDING = 1.25
"""Factor by which a person's box is enlarged, as in HRNet's recipe."""
SIGMA = 2.0
"""Standard deviation of the Gaussian targets, in heatmap pixels."""
STRIDE = 4
ROTATION, SCALING = 30.0, 0.25
"""Largest rotation in degrees and largest relative change of size of ``augment = rotate``."""


@dataclass(frozen=True)
class Region:
    """A part of the upright image with the aspect ratio of the network's input; it may exceed the image."""

    x: float
    y: float
    width: float
    height: float

    def scale(self, factor: float) -> Region:
        """The region enlarged about its center."""
        dx, dy = self.width * (factor - 1) / 2, self.height * (factor - 1) / 2
        return Region(self.x - dx, self.y - dy, self.width * factor, self.height * factor)


def regions(annotation: Annotation | None, size: tuple[int, int], shape: tuple[int, int]) -> list[Region]:
    """One region per person: around each pose, else around each box, else the whole image.

    Args:
        size: (width, height) of the image. shape: (height, width) of the network's input.
    """
    boxes = [person_box(pose) for pose in annotation.poses] if annotation else []
    boxes = boxes or (list(annotation.boxes) if annotation else [])
    if not boxes:
        return [_around(0, 0, size[0], size[1], shape, 1.0)]
    return [_around(box.x1, box.y1, box.x2, box.y2, shape, PADDING) for box in boxes]


def person_box(pose: Pose) -> Box:
    """The pose's box; without one, the joints' bounding box plus a tenth of their extent (4 pixels at least)."""
    if pose.box is not None:
        return pose.box
    xs, ys = [joint.x for joint in pose.keypoints], [joint.y for joint in pose.keypoints]
    pad = max(0.1 * max(max(xs) - min(xs), max(ys) - min(ys)), 4.0)
    return Box(pose.label, min(xs) - pad, min(ys) - pad, max(xs) + pad, max(ys) + pad)


def cut(picture: Image.Image, ratio: float, region: Region, shape: tuple[int, int]) -> Image.Image:
    """Crop the region at the network's input size; black outside the image.

    Args:
        ratio: size of the decoded picture divided by the size of the upright image.
    """
    corners = [region.x, region.y, region.x + region.width, region.y + region.height]
    left, top, right, bottom = (round(value * ratio) for value in corners)
    part = picture.crop((left, top, max(right, left + 1), max(bottom, top + 1)))
    return part.resize((shape[1], shape[0]), Image.Resampling.BILINEAR, reducing_gap=2.0)


def joints_in(region: Region, pose: Pose, joints: Sequence[str], shape: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Joints (joints, 2) as x, y in crop pixels, and weights (joints,): 1 for annotated joints, else 0."""
    points, weights = torch.zeros(len(joints), 2), torch.zeros(len(joints))
    for joint in pose.keypoints:
        index = joints.index(joint.name)
        points[index, 0] = (joint.x - region.x) * shape[1] / region.width
        points[index, 1] = (joint.y - region.y) * shape[0] / region.height
        weights[index] = 1
    return points, weights


def rotate(crop: Image.Image, points: Tensor, degrees: float) -> tuple[Image.Image, Tensor]:
    """Rotate crop and joints counter-clockwise about the center of the crop."""
    angle = math.radians(degrees)
    center = torch.tensor(crop.size) / 2
    x, y = (points - center).unbind(dim=1)
    around = torch.stack([math.cos(angle) * x + math.sin(angle) * y, math.cos(angle) * y - math.sin(angle) * x], dim=1)
    return crop.rotate(degrees, Image.Resampling.BILINEAR), around + center


def mirror(crop: Image.Image, points: Tensor, weights: Tensor, order: list[int]) -> tuple[Image.Image, Tensor, Tensor]:
    """Mirror crop and joints horizontally; ``order`` swaps left and right joints."""
    points = torch.stack([crop.width - points[:, 0], points[:, 1]], dim=1)
    return crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT), points[order], weights[order]


def gaussians(points: Tensor, shape: tuple[int, int]) -> Tensor:
    """Gaussian targets of height 1: joints (…, 2) in crop pixels → (…, h, w), where ``shape`` = (h, w)."""
    x = torch.arange(shape[1], device=points.device) + 0.5 - points[..., 0:1] / STRIDE  # (…, w)
    y = torch.arange(shape[0], device=points.device) + 0.5 - points[..., 1:2] / STRIDE  # (…, h)
    across, down = torch.exp(-(x**2) / (2 * SIGMA**2)), torch.exp(-(y**2) / (2 * SIGMA**2))
    return down.unsqueeze(-1) * across.unsqueeze(-2)


def peaks(heatmaps: Tensor) -> tuple[Tensor, Tensor]:
    """Joints (rows, joints, 2) in crop pixels and peak heights (rows, joints) of heatmaps (rows, joints, h, w).

    Each peak moves a quarter pixel towards its higher neighbor (Newell et al., "Stacked Hourglass Networks", 2016).
    """
    width = heatmaps.shape[3]
    top, position = heatmaps.flatten(2).max(dim=2)
    x, y = position % width, position // width
    padded = F.pad(heatmaps, (1, 1, 1, 1), mode="replicate").flatten(2)

    def at(dx: int, dy: int) -> Tensor:
        index = (y + 1 + dy) * (width + 2) + x + 1 + dx  # (rows, joints)
        return padded.gather(2, index.unsqueeze(2)).squeeze(2)

    quarter = 0.25 * torch.stack([(at(1, 0) - at(-1, 0)).sign(), (at(0, 1) - at(0, -1)).sign()], dim=2)
    return (torch.stack([x, y], dim=2) + 0.5 + quarter) * STRIDE, top


def to_tensor(crops: Sequence[Image.Image]) -> Tensor:
    """(people, 3, H, W) uint8."""
    return torch.stack([pixels.to_tensor(crop) for crop in crops])


def _around(x1: float, y1: float, x2: float, y2: float, shape: tuple[int, int], padding: float) -> Region:
    """The smallest region of the input's aspect ratio around the corners, enlarged by ``padding``."""
    height = max(y2 - y1, (x2 - x1) * shape[0] / shape[1]) * padding
    width = height * shape[1] / shape[0]
    return Region((x1 + x2 - width) / 2, (y1 + y2 - height) / 2, width, height)
