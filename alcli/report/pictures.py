"""Thumbnails with what the model sees drawn in, as data that a page can carry."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.colors import to_hex
from PIL import Image, ImageDraw, ImageFont

from alcli import images
from alcli.annotations import IGNORED, Annotation, Box, Mask, Pose
from alcli.system.text import visible

QUALITIES = (72, 55, 40, 25)
FONT_SIZE = 11
LINES_OF_A_PICTURE = 35
"""Lines of text that a large picture would hold: its words can be read in the gallery, where it is shown smaller."""
SHADE = 0.3
DOUBTFUL, NEARLY = 0.2, 0.3
"""Least score of the second class of a box in doubt, and how far the first may be ahead of it."""
DOUBT = "?"
DASH = 6
"""Length of a dash in pixels."""
MOST_BOXES = 40
"""The surest ones; more would hide the image."""


@dataclass(frozen=True)
class Picture:
    """An image inside the page: a ``data:`` URI, its size in pixels, and its text for those who cannot see it."""

    data: str
    width: int
    height: int
    alt: str


def class_colors(classes: Sequence[str]) -> dict[str, str]:
    """A color for each class in order; the colors repeat after twenty classes."""
    wheel = [*matplotlib.color_sequences["tab10"], *matplotlib.color_sequences["tab20b"][::2]]
    return {name: to_hex(wheel[index % len(wheel)]) for index, name in enumerate(classes)}


def picture(
    path: Path,
    said: Annotation | None,
    colors: Mapping[str, str],
    side: int,
    most_bytes: int,
    alt: str,
    instead: Box | None = None,
    words: bool = True,
) -> Picture:
    """The upright image with its long side at most ``side`` pixels, as WebP of about ``most_bytes`` or less.

    Args:
        instead: a box that somebody else sees, drawn dashed. words: whether the boxes bear their class; on a small
            picture the words would hide it.

    Raises:
        DataError: the file cannot be decoded.
    """
    shown = images.load(path, at_least=(side, side))
    shown.thumbnail((side, side), Image.Resampling.LANCZOS, reducing_gap=2.0)
    if said is not None:
        shown = draw_annotation(shown, said, colors, words)
        if instead is not None:
            _draw_dashed(shown, instead, said.size or shown.size)
    content = _encode(shown, most_bytes)
    data = f"data:image/webp;base64,{base64.b64encode(content).decode('ascii')}"
    return Picture(data, shown.width, shown.height, visible(alt, keep=""))


def draw_annotation(shown: Image.Image, said: Annotation, colors: Mapping[str, str], words: bool = True) -> Image.Image:
    """The image with masks shaded, regions and boxes outlined (``words``: and named), and joints dotted."""
    for mask in said.masks:
        if mask.label != IGNORED:
            shown = _shade(shown, mask, _color(colors, mask.label))
    width, height = said.size or shown.size
    across, down = shown.width / width, shown.height / height
    draw = ImageDraw.Draw(shown)
    for polygon in said.polygons:
        for ring in polygon.rings:
            points = [(ring[i] * across, ring[i + 1] * down) for i in range(0, len(ring), 2)]
            draw.polygon(points, outline=_color(colors, polygon.label), width=2)
    for box in sorted(said.boxes, key=lambda box: box.score or 0)[-MOST_BOXES:]:
        corners = (box.x1 * across, box.y1 * down, box.x2 * across, box.y2 * down)
        _draw_box(draw, corners, _label(box) if words else "", _color(colors, box.label))
    for pose in said.poses:
        _draw_joints(draw, pose, colors, across, down)
    return shown


def with_doubts(sure: Annotation, said: Annotation) -> Annotation:
    """The sure part of what a model said; a box that it cannot decide about bears both classes and a question mark.

    A detector proposes both classes at the same corners, sometimes each with a score too low to be drawn.
    """
    places: dict[tuple[float, ...], list[Box]] = {}
    for box in sorted(said.boxes, key=lambda box: -(box.score or 0)):
        if (box.score or 0) >= DOUBTFUL:
            places.setdefault(_place(box), []).append(box)
    pairs = {corners: boxes[:2] for corners, boxes in places.items() if len(boxes) > 1}
    tied = {corners: pair for corners, pair in pairs.items() if (pair[0].score or 0) - (pair[1].score or 0) <= NEARLY}
    doubts = [replace(first, label=f"{first.label} / {second.label}{DOUBT}") for first, second in tied.values()]
    return replace(sure, boxes=(*(box for box in sure.boxes if _place(box) not in tied), *doubts))


def _place(box: Box) -> tuple[float, ...]:
    return box.x1, box.y1, box.x2, box.y2


def _encode(shown: Image.Image, most_bytes: int) -> bytes:
    for quality in QUALITIES:
        stream = io.BytesIO()
        shown.save(stream, "WEBP", quality=quality, method=3)
        if stream.tell() <= most_bytes:
            break
    return stream.getvalue()


def _color(colors: Mapping[str, str], label: str) -> str:
    return colors.get(label, "#ff00ff")


def _draw_box(draw: ImageDraw.ImageDraw, corners: tuple[float, float, float, float], label: str, color: str) -> None:
    x1, y1, x2, y2 = corners
    # Black around the color: it then shows on any ground.
    draw.rectangle((x1 - 1, y1 - 1, x2 + 1, y2 + 1), outline="black", width=4)
    draw.rectangle(corners, outline=color, width=2)
    if not label:
        return
    text = visible(label, keep="")
    large = max(FONT_SIZE, max(draw.im.size) // LINES_OF_A_PICTURE)
    for size, words in ((large, text), (FONT_SIZE, text), (FONT_SIZE, DOUBT)):
        font = ImageFont.load_default(size)
        length = draw.textlength(words, font=font)
        if length + 4 <= x2 - x1 and (words == text or text.endswith(DOUBT)):
            top = y1 - size - 2 if y1 >= size + 2 else y1
            draw.rectangle((x1, top, x1 + length + 4, top + size + 3), fill="black")
            draw.text((x1 + 2, top), words, fill="white", font=font)
            return


def _label(box: Box) -> str:
    """The class, with the model's confidence: ``cat 62 %``."""
    if box.score is None or box.label.endswith(DOUBT):
        return box.label
    return f"{box.label} {100 * box.score:.0f} %"


def _draw_dashed(shown: Image.Image, box: Box, size: tuple[int, int]) -> None:
    across, down = shown.width / size[0], shown.height / size[1]
    x1, y1, x2, y2 = box.x1 * across, box.y1 * down, box.x2 * across, box.y2 * down
    draw = ImageDraw.Draw(shown)
    draw.rectangle((x1, y1, x2, y2), outline="black", width=3)
    for start, end in (((x1, y1), (x2, y1)), ((x2, y1), (x2, y2)), ((x2, y2), (x1, y2)), ((x1, y2), (x1, y1))):
        length = max(abs(end[0] - start[0]), abs(end[1] - start[1]), 1)
        for begin in np.arange(0, length, 2 * DASH):
            stop = min(begin + DASH, length)
            parts = [(start[0] + (end[0] - start[0]) * t / length, start[1] + (end[1] - start[1]) * t / length)
                     for t in (begin, stop)]  # fmt: skip
            draw.line(parts, fill="white", width=3)


def _draw_joints(draw: ImageDraw.ImageDraw, pose: Pose, colors: Mapping[str, str], across: float, down: float) -> None:
    if pose.box:
        box = pose.box
        draw.rectangle((box.x1 * across, box.y1 * down, box.x2 * across, box.y2 * down), outline="white", width=1)
    for joint in pose.keypoints:
        x, y = joint.x * across, joint.y * down
        draw.ellipse((x - 4, y - 4, x + 4, y + 4), fill=_color(colors, joint.name), outline="black", width=1)


def _shade(shown: Image.Image, mask: Mask, color: str) -> Image.Image:
    stencil = Image.fromarray((mask.pixels() * (255 * SHADE)).astype(np.uint8)).resize(shown.size)
    return Image.composite(Image.new("RGB", shown.size, color), shown, stencil)
