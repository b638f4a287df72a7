"""From an image file to pixels: one decoder, with every trap of image files handled in one place.

EXIF orientation is applied once, here: everything later lives in the upright frame that annotators see. Sixteen-bit
images are scaled by their range, not clipped; transparency lies over black; files are judged by content, not by name.
"""

from __future__ import annotations

import hashlib
import io
import stat
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError
from PIL.TiffImagePlugin import TiffImageFile

from alcli.errors import DataError, Unreadable
from alcli.items import MOST_PIXELS, ImageFacts

FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "TIFF", "GIF")
"""Nothing else is decoded: Pillow would start external programs for some (PostScript)."""
SMALLEST_SIDE = 8
LARGEST_RATIO = 50
BITS_PER_SAMPLE = 258
PNG_END = b"IEND\xaeB`\x82"


def inspect(path: Path) -> ImageFacts:
    """Decode the whole file once and say what it is; raises DataError with the reason when it cannot be used."""
    content = _content(path)
    upright = _upright(_decoded(content, None))
    return ImageFacts(hashlib.sha256(content).hexdigest(), *upright.size)


def load(path: Path, at_least: tuple[int, int] | None = None) -> Image.Image:
    """The upright image in RGB.

    Args:
        at_least: (width, height) needed; a JPEG is decoded at the smallest eighth that still has it.

    Raises:
        DataError: the file cannot be decoded; the message is the reason.
    """
    return _upright(_decoded(_content(path), at_least))


def _content(path: Path) -> bytes:
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise DataError("not a regular file")
        content = path.read_bytes()
    except OSError as error:
        raise Unreadable(f"cannot be read: {error.strerror}") from None
    if not content:
        raise DataError("empty file")
    return content


def _decoded(content: bytes, at_least: tuple[int, int] | None) -> Image.Image:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = Image.open(io.BytesIO(content), formats=FORMATS)
            _check_size(*image.size)
            _check_range(image)
            if image.format == "PNG" and PNG_END not in content:
                raise DataError("truncated: it has no end")
            if at_least and image.format == "JPEG":
                width, height = at_least
                turned = image.getexif().get(0x0112, 1) >= 5
                image.draft("RGB", (height, width) if turned else (width, height))
            image.load()
    except Image.DecompressionBombError:
        raise DataError(f"more pixels than the {MOST_PIXELS} allowed") from None
    except UnidentifiedImageError:
        raise DataError("not an image that can be read") from None
    except DataError:
        raise
    except Exception as error:
        # Decoders of broken files raise nearly anything: OSError, SyntaxError, struct.error, ValueError, …
        raise DataError(f"cannot be decoded: {error}") from None
    return image


def _check_size(width: int, height: int) -> None:
    if width * height > MOST_PIXELS:
        raise DataError(f"{width}×{height} pixels: more pixels than the {MOST_PIXELS} allowed")
    if min(width, height) < SMALLEST_SIDE:
        raise DataError(f"{width}×{height} pixels: a side is shorter than {SMALLEST_SIDE}")
    if max(width, height) > LARGEST_RATIO * min(width, height):
        raise DataError(f"{width}×{height} pixels: one side is more than {LARGEST_RATIO} times the other")


def _check_range(image: Image.Image) -> None:
    """Raises DataError where nobody can say which value is white: guessing would show black, or white, in silence."""
    bits = image.tag_v2.get(BITS_PER_SAMPLE, (1,)) if isinstance(image, TiffImageFile) else (1,)
    if image.mode == "F":
        raise DataError("floating-point pixels have no known range")
    if image.mode == "I" and max(bits) > 16:
        raise DataError(f"{max(bits)}-bit integer pixels have no known range")


def _upright(image: Image.Image) -> Image.Image:
    try:
        return _rgb(ImageOps.exif_transpose(image))
    except DataError:
        raise
    except Exception as error:
        raise DataError(f"cannot be converted: {error}") from None


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB":
        return image
    if image.mode.startswith("I"):
        return _from_wide_grey(np.asarray(image))
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", rgba.size, (0, 0, 0, 255)), rgba).convert("RGB")
    return image.convert("RGB")


def _from_wide_grey(values: np.ndarray) -> Image.Image:
    """Sixteen bits to eight by the range of the type; ``convert("RGB")`` would clip at 255."""
    if values.min(initial=0) < 0 or values.max(initial=0) > 65535:
        raise DataError("grey values lie outside 16 bits")
    return Image.fromarray((values >> 8).astype(np.uint8)).convert("RGB")
