"""From an image to a network's input, and from its coordinates back to the image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from alcli.learners._onnx_options import BYTES, CROP, IMAGENET, LETTERBOX, STRETCH

MARGIN = 114
"""The gray around a letterboxed image, as Ultralytics trains with."""
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's pixels, in [0, 1]."""


@dataclass(frozen=True)
class Placement:
    """Where an image lies in a network's input.

    Attributes:
        size_wh: of the image. scale: (across, down) input pixels per image pixel. offset: (left, top) in the input.
    """

    size_wh: tuple[int, int]
    scale: tuple[float, float] = (1.0, 1.0)
    offset: tuple[int, int] = (0, 0)

    def to_image(self, corners: np.ndarray) -> np.ndarray:
        """(k, 4) x1, y1, x2, y2 in input pixels → in the image's pixels, clipped to it."""
        moved = (corners - np.array(self.offset * 2)) / np.array(self.scale * 2)
        return np.asarray(np.clip(moved, 0, np.array(self.size_wh * 2)))


def place(image: Image.Image, size_wh: tuple[int, int] | None, how: str) -> tuple[np.ndarray, Placement]:
    """Bring an RGB image to the input's size: pixels (height, width, 3) uint8, and where the image lies in them.

    Args:
        size_wh: of the input; None keeps the image's own.
        how: letterbox, stretch, crop (the center; the shorter side fits) or none.
    """
    pixels = np.asarray(image)
    if size_wh is None:
        return pixels, Placement(image.size)
    if how == LETTERBOX:
        return _letterbox(pixels, size_wh)
    scale = (size_wh[0] / image.width, size_wh[1] / image.height)
    if how == STRETCH:
        return np.asarray(image.resize(size_wh, Image.Resampling.BILINEAR)), Placement(image.size, scale)
    if how == CROP:
        return _crop(image, size_wh)
    return pixels, Placement(image.size)


def normalise(pixels: np.ndarray, how: str, dtype: np.dtype) -> np.ndarray:
    """Pixels (height, width, 3) uint8 as the network's numbers: unit, imagenet or bytes."""
    if how == BYTES or dtype == np.uint8:
        return pixels.astype(dtype)
    values = pixels.astype(np.float32) / 255
    if how == IMAGENET:
        values = (values - np.array(MEAN, np.float32)) / np.array(DEVIATION, np.float32)
    return values.astype(dtype)


def _letterbox(pixels: np.ndarray, size_wh: tuple[int, int]) -> tuple[np.ndarray, Placement]:
    """Keep the proportions, in the middle of gray margins."""
    height, width = pixels.shape[:2]
    ratio = min(size_wh[0] / width, size_wh[1] / height)
    inner = (max(round(width * ratio), 1), max(round(height * ratio), 1))
    offset = ((size_wh[0] - inner[0]) // 2, (size_wh[1] - inner[1]) // 2)
    result = np.full((size_wh[1], size_wh[0], 3), MARGIN, np.uint8)
    result[offset[1] : offset[1] + inner[1], offset[0] : offset[0] + inner[0]] = _bilinear(pixels, inner)
    return result, Placement((width, height), (inner[0] / width, inner[1] / height), offset)


def _bilinear(pixels: np.ndarray, size_wh: tuple[int, int]) -> np.ndarray:
    """Between the four nearest pixels, as OpenCV does: Pillow averages more of them, which detectors have not seen."""
    if (pixels.shape[1], pixels.shape[0]) == size_wh:
        return pixels
    low, high, part = _neighbors(pixels.shape[0], size_wh[1])
    values = pixels[low] * (1 - part[:, None, None]) + pixels[high] * part[:, None, None]
    low, high, part = _neighbors(pixels.shape[1], size_wh[0])
    values = values[:, low] * (1 - part[:, None]) + values[:, high] * part[:, None]
    return np.asarray((values + 0.5).astype(np.uint8))


def _neighbors(old: int, new: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each of ``new`` positions the two nearest of ``old``, and the weight of the second, float32."""
    centers = np.clip((np.arange(new) + 0.5) * (old / new) - 0.5, 0, old - 1)
    low = np.floor(centers).astype(np.int64)
    return low, np.minimum(low + 1, old - 1), (centers - low).astype(np.float32)


def _crop(image: Image.Image, size_wh: tuple[int, int]) -> tuple[np.ndarray, Placement]:
    """The shorter side fits, and the center is kept, as classifiers are evaluated."""
    ratio = max(size_wh[0] / image.width, size_wh[1] / image.height)
    outer = (max(int(image.width * ratio), size_wh[0]), max(int(image.height * ratio), size_wh[1]))
    left, top = round((outer[0] - size_wh[0]) / 2), round((outer[1] - size_wh[1]) / 2)
    resized = image.resize(outer, Image.Resampling.BILINEAR).crop((left, top, left + size_wh[0], top + size_wh[1]))
    return np.asarray(resized), Placement(image.size, (outer[0] / image.width, outer[1] / image.height), (-left, -top))
