"""Decode image files; the special cases of image formats are handled only here.

EXIF orientation is applied here, once: all coordinates refer to the upright image that annotators see. Images of 10 to
16 bits are scaled to eight, not clipped; transparent pixels are composed over black; the file name is ignored.
"""

from __future__ import annotations

import hashlib
import io
import re
import stat
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError
from PIL.TiffImagePlugin import TiffImageFile

from alcli.errors import DataError, Unreadable
from alcli.items import MOST_PIXELS, PICTURE_FORMATS, ImageFacts

LARGEST_FILE = 2**30
SMALLEST_SIDE = 8
LARGEST_RATIO = 50
BITS_PER_SAMPLE = 258
DEPTHS = (8, 10, 12, 14, 16)
PNG_END = b"IEND\xaeB`\x82"
MOST_SCANS = 100
"""Of one JPEG; encoders write up to about 20, and each costs a pass over all pixels."""
START_OF_SCAN, END_OF_IMAGE = 0xDA, 0xD9
MARKER = re.compile(rb"\xff+([^\x00\x01\xd0-\xd7\xff])", re.DOTALL)
"""A marker among entropy-coded data that begins a segment; the others have no length (ITU-T T.81, B.1.1.3)."""
STRIP = 256


def inspect(path: Path) -> ImageFacts:
    """Decode the whole file, and return its hashes and size; raises DataError with the reason if it cannot be used."""
    content = _read_bytes(path)
    upright = _to_upright(decode(content, None))
    return ImageFacts(hashlib.sha256(content).hexdigest(), *upright.size, hash_pixels(upright))


def hash_pixels(image: Image.Image) -> str:
    """The SHA-256 of size and pixels: the same for a file that was saved again with other metadata."""
    width, height = image.size
    digest = hashlib.sha256(f"{image.mode} {width} {height} ".encode())
    for top in range(0, height, STRIP):
        digest.update(image.crop((0, top, width, min(top + STRIP, height))).tobytes())
    return digest.hexdigest()


def load(path: Path, at_least: tuple[int, int] | None = None) -> Image.Image:
    """Load the upright image in RGB.

    Args:
        at_least: (width, height) that is needed; a JPEG may be decoded at a reduced size that is still large enough.

    Raises:
        DataError: the file cannot be decoded; the message is the reason.
    """
    return _to_upright(decode(_read_bytes(path), at_least))


def _read_bytes(path: Path) -> bytes:
    try:
        facts = path.stat()
        if not stat.S_ISREG(facts.st_mode):
            raise DataError("not a regular file")
        if facts.st_size > LARGEST_FILE:
            raise DataError(f"{facts.st_size} bytes is too large for an image")
        content = path.read_bytes()
    except OSError as error:
        raise Unreadable(f"cannot be read: {error.strerror}") from None
    if not content:
        raise DataError("empty file")
    return content


def decode(content: bytes, at_least: tuple[int, int] | None) -> Image.Image:
    """Decode an image as stored, before its EXIF orientation is applied; raises DataError with the reason."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = Image.open(io.BytesIO(content), formats=PICTURE_FORMATS)
            check_size(*image.size)
            _check_range(image)
            if image.format in ("JPEG", "MPO"):
                _check_scans(content)
            if image.format == "PNG" and PNG_END not in content:
                raise DataError("truncated: its end is missing")
            if at_least and image.format == "JPEG":
                width, height = at_least
                is_rotated = image.getexif().get(0x0112, 1) >= 5
                image.draft("RGB", (height, width) if is_rotated else (width, height))
            image.load()
    except Image.DecompressionBombError:
        raise DataError(f"more pixels than the {MOST_PIXELS} allowed") from None
    except UnidentifiedImageError:
        raise DataError("not an image that can be read") from None
    except DataError:
        raise
    except Exception as error:
        # Decoders may raise nearly any exception on broken files: OSError, SyntaxError, struct.error, ValueError, …
        raise DataError(f"cannot be decoded: {error}") from None
    return image


def check_size(width: int, height: int) -> None:
    """Raise DataError for an image that is too large, too small or too narrow; sizes in pixels."""
    if width * height > MOST_PIXELS:
        raise DataError(f"{width}×{height} pixels: more pixels than the {MOST_PIXELS} allowed")
    if min(width, height) < SMALLEST_SIDE:
        raise DataError(f"{width}×{height} pixels: a side is shorter than {SMALLEST_SIDE}")
    if max(width, height) > LARGEST_RATIO * min(width, height):
        raise DataError(f"{width}×{height} pixels: one side is more than {LARGEST_RATIO} times the other")


def _check_range(image: Image.Image) -> None:
    """Raise DataError if the value of white is unknown: a guess could silently give a black or white image."""
    bits = image.tag_v2.get(BITS_PER_SAMPLE, (1,)) if isinstance(image, TiffImageFile) else (1,)
    if image.mode == "F":
        raise DataError("floating-point pixels have no known range")
    if image.mode == "I" and max(bits) > 16:
        raise DataError(f"{max(bits)}-bit integer pixels have no known range")


def _check_scans(content: bytes) -> None:
    """Raise DataError for a JPEG with so many scans that decoding it takes minutes."""
    # Counting is fast and may count too many: thumbnails, and what follows the image.
    if content.count(bytes((0xFF, START_OF_SCAN))) <= MOST_SCANS:
        return
    scans, position = 0, 2
    while marker := MARKER.search(content, position):
        scans += marker[1][0] == START_OF_SCAN
        if scans > MOST_SCANS:
            raise DataError(f"a progressive JPEG with more than {MOST_SCANS} scans")
        if marker[1][0] == END_OF_IMAGE:
            return
        position = marker.end() + int.from_bytes(content[marker.end() : marker.end() + 2], "big")


def _to_upright(image: Image.Image) -> Image.Image:
    try:
        return to_rgb(ImageOps.exif_transpose(image))
    except DataError:
        raise
    except Exception as error:
        raise DataError(f"cannot be converted: {error}") from None


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert any mode to eight-bit RGB; raises DataError for gray values outside 16 bits."""
    if image.mode == "RGB":
        return image
    if image.mode.startswith("I"):
        return _from_16_bit(np.asarray(image))
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", rgba.size, (0, 0, 0, 255)), rgba).convert("RGB")
    return image.convert("RGB")


def _from_16_bit(values: np.ndarray) -> Image.Image:
    """Scale to eight bits from the smallest of 8, 10, 12, 14 and 16 bits that holds every value.

    Cameras and scanners store 10 to 14 bits in 16-bit files; ``convert("RGB")`` would clip at 255.
    """
    largest = int(values.max(initial=0))
    if values.min(initial=0) < 0 or largest > 65535:
        raise DataError("gray values are outside the 16-bit range")
    depth = next(bits for bits in DEPTHS if largest < 1 << bits)
    return Image.fromarray((values >> (depth - 8)).astype(np.uint8)).convert("RGB")
