"""People cut out of their image: where, and how joints travel between image, crop and heatmap.

Coordinates are continuous: the left edge of the first pixel is 0, its centre 0.5.
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
"""A person's region is its box times this, as in HRNet's recipe."""
SIGMA = 2.0
"""Of the Gaussian targets, in pixels of the heatmap."""
STRIDE = 4
ROTATION, SCALING = 30.0, 0.25
"""Largest turn in degrees and largest change of size of ``augment = rotate``."""


@dataclass(frozen=True)
class Region:
    """A part of the upright image with the shape of the network's input; it may reach out of the image."""

    x: float
    y: float
    width: float
    height: float

    def scaled(self, factor: float) -> Region:
        """The same centre, another size."""
        dx, dy = self.width * (factor - 1) / 2, self.height * (factor - 1) / 2
        return Region(self.x - dx, self.y - dy, self.width * factor, self.height * factor)


def regions(annotation: Annotation | None, size: tuple[int, int], shape: tuple[int, int]) -> list[Region]:
    """Where people are: around each pose's box, else around each given box, else the whole image.

    Args:
        size: (width, height) of the image. shape: (height, width) of the network's input.
    """
    boxes = [person_box(pose) for pose in annotation.poses] if annotation else []
    boxes = boxes or (list(annotation.boxes) if annotation else [])
    if not boxes:
        return [_around(0, 0, size[0], size[1], shape, 1.0)]
    return [_around(box.x1, box.y1, box.x2, box.y2, shape, PADDING) for box in boxes]


def person_box(pose: Pose) -> Box:
    """The person's box; where nobody drew one, around the joints with a tenth of their extent (4 pixels at least)."""
    if pose.box is not None:
        return pose.box
    xs, ys = [joint.x for joint in pose.keypoints], [joint.y for joint in pose.keypoints]
    room = max(0.1 * max(max(xs) - min(xs), max(ys) - min(ys)), 4.0)
    return Box(pose.label, min(xs) - room, min(ys) - room, max(xs) + room, max(ys) + room)


def cut(picture: Image.Image, ratio: float, region: Region, shape: tuple[int, int]) -> Image.Image:
    """The region at the network's size; what lies outside the image is black.

    Args:
        ratio: size of the decoded picture over that of the upright image.
    """
    place = [region.x, region.y, region.x + region.width, region.y + region.height]
    left, top, right, bottom = (round(value * ratio) for value in place)
    part = picture.crop((left, top, max(right, left + 1), max(bottom, top + 1)))
    return part.resize((shape[1], shape[0]), Image.Resampling.BILINEAR, reducing_gap=2.0)


def joints_in(region: Region, pose: Pose, joints: Sequence[str], shape: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """(joints, 2) x, y in pixels of the crop, and (joints,) weights: 1 for marked joints, 0 for absent ones."""
    places, weights = torch.zeros(len(joints), 2), torch.zeros(len(joints))
    for joint in pose.keypoints:
        row = joints.index(joint.name)
        places[row, 0] = (joint.x - region.x) * shape[1] / region.width
        places[row, 1] = (joint.y - region.y) * shape[0] / region.height
        weights[row] = 1
    return places, weights


def turned(crop: Image.Image, places: Tensor, degrees: float) -> tuple[Image.Image, Tensor]:
    """Crop and joints turned counter-clockwise about the centre of the crop."""
    angle = math.radians(degrees)
    centre = torch.tensor(crop.size) / 2
    x, y = (places - centre).unbind(dim=1)
    around = torch.stack([math.cos(angle) * x + math.sin(angle) * y, math.cos(angle) * y - math.sin(angle) * x], dim=1)
    return crop.rotate(degrees, Image.Resampling.BILINEAR), around + centre


def mirrored(
    crop: Image.Image, places: Tensor, weights: Tensor, order: list[int]
) -> tuple[Image.Image, Tensor, Tensor]:
    """Crop and joints seen in a mirror; left and right joints change places by ``order``."""
    places = torch.stack([crop.width - places[:, 0], places[:, 1]], dim=1)
    return crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT), places[order], weights[order]


def gaussians(places: Tensor, shape: tuple[int, int]) -> Tensor:
    """(…, 2) joints in crop pixels → (…, h, w) targets with height 1 at the joint; ``shape`` is (h, w) of the map."""
    x = torch.arange(shape[1], device=places.device) + 0.5 - places[..., 0:1] / STRIDE
    y = torch.arange(shape[0], device=places.device) + 0.5 - places[..., 1:2] / STRIDE
    across, down = torch.exp(-(x**2) / (2 * SIGMA**2)), torch.exp(-(y**2) / (2 * SIGMA**2))
    return down.unsqueeze(-1) * across.unsqueeze(-2)


def peaks(heatmaps: Tensor) -> tuple[Tensor, Tensor]:
    """(rows, joints, h, w) → (rows, joints, 2) in crop pixels, a quarter step towards the higher side; and heights."""
    width = heatmaps.shape[3]
    top, place = heatmaps.flatten(2).max(dim=2)
    x, y = place % width, place // width
    padded = F.pad(heatmaps, (1, 1, 1, 1), mode="replicate").flatten(2)

    def at(dx: int, dy: int) -> Tensor:
        index = (y + 1 + dy) * (width + 2) + x + 1 + dx
        return padded.gather(2, index.unsqueeze(2)).squeeze(2)

    quarter = 0.25 * torch.stack([(at(1, 0) - at(-1, 0)).sign(), (at(0, 1) - at(0, -1)).sign()], dim=2)
    return (torch.stack([x, y], dim=2) + 0.5 + quarter) * STRIDE, top


def to_tensor(crops: Sequence[Image.Image]) -> Tensor:
    """(people, 3, H, W) uint8."""
    return torch.stack([pixels.to_tensor(crop) for crop in crops])


def _around(x1: float, y1: float, x2: float, y2: float, shape: tuple[int, int], padding: float) -> Region:
    """The smallest region of the input's shape around the corners, enlarged."""
    height = max(y2 - y1, (x2 - x1) * shape[0] / shape[1]) * padding
    width = height * shape[1] / shape[0]
    return Region((x1 + x2 - width) / 2, (y1 + y2 - height) / 2, width, height)
