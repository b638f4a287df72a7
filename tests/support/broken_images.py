"""Broken and odd image files, drawn from nothing: what must be refused, what must be shown, and as what."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, PngImagePlugin

WIDTH, HEIGHT = 96, 64
SAMPLE_FORMAT, SHORT, SIGNED = 339, 3, 2


@dataclass(frozen=True)
class Kind:
    """One file.

    Attributes:
        refused: what its reason says; empty for a file that must be shown.
        pixels: what it must show, as far as that is known, within ``off`` grey levels.
        either: refused or shown, as the decoder finds.
    """

    content: bytes
    refused: str = ""
    pixels: np.ndarray | None = None
    off: float = 0.0
    either: bool = False


def picture() -> np.ndarray:
    """(height, width, 3): a smooth scene without symmetry."""
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH]
    return np.stack([columns * 255 / WIDTH, rows * 255 / HEIGHT, (rows + columns) * 1.5], 2).astype(np.uint8)


PICTURE = picture()
GREY = np.asarray(Image.fromarray(PICTURE).convert("L"))
WIDE = np.linspace(0, 65535, WIDTH * HEIGHT).astype(np.uint16).reshape(HEIGHT, WIDTH)


def saved(image: np.ndarray | Image.Image, form: str, **options: object) -> bytes:
    """The bytes of an image file."""
    stream = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(stream, form, **options)
    return stream.getvalue()


def in_three(grey: np.ndarray) -> np.ndarray:
    """A grey picture as RGB."""
    return np.repeat(grey[..., None], 3, 2)


def chunk(kind: bytes, data: bytes) -> bytes:
    """One chunk of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, data: bytes = b"\0" * 100, *extra: bytes) -> bytes:
    """A grey PNG with any size in its header and any data."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(extra) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


def bmp_header(width: int, height: int) -> bytes:
    """A BMP with any size in its header and no pixels."""
    head = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + head


def cut(content: bytes, share: float) -> bytes:
    """The first part of a file."""
    return content[: int(len(content) * share)]


def kinds() -> dict[str, Kind]:
    """Every kind by the name of its file."""
    return {**_no_images(), **_cut_off(), **_damaged(), **_of_odd_size(), **_of_odd_pixels(), **_odd_but_whole()}


def _no_images() -> dict[str, Kind]:
    jpeg, flat = saved(PICTURE, "JPEG"), saved(PICTURE, "PNG")
    contents = {
        "empty.jpg": (b"", "empty file"),
        "page.jpg": (b"<!DOCTYPE html><html><body>Please log in</body></html>", "not an image"),
        "json.png": (b'{"error": "expired"}', "not an image"),
        "zeros.jpg": (bytes(5000), "not an image"),
        "header-only.jpg": (jpeg[:2], "not an image|cannot be decoded"),
        "header-only.png": (flat[:8], "not an image|cannot be decoded"),
        "header-and-size.png": (flat[:33], "cannot be decoded|not an image|no end"),
        "postscript.jpg": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 96 64\nshowpage\n", "not an image"),
        "vector.png": (b"<svg xmlns='http://www.w3.org/2000/svg' width='96' height='64'/>", "not an image"),
        "archive.jpg": (b"PK\x03\x04" + bytes(200), "not an image"),
        "document.jpg": (b"%PDF-1.7\n" + bytes(200), "not an image"),
    }
    return {name: Kind(content, why) for name, (content, why) in contents.items()}


def _cut_off() -> dict[str, Kind]:
    whole = {
        "plain.jpg": saved(PICTURE, "JPEG"),
        "progressive.jpg": saved(PICTURE, "JPEG", progressive=True),
        "restarts.jpg": saved(PICTURE, "JPEG", restart_marker_rows=1),
        "plain.png": saved(PICTURE, "PNG"),
        "wide.png": saved(WIDE, "PNG"),
        "plain.gif": saved(PICTURE, "GIF"),
        "lossy.webp": saved(PICTURE, "WEBP"),
        "lossless.webp": saved(PICTURE, "WEBP", lossless=True),
        "plain.bmp": saved(PICTURE, "BMP"),
        "raw.tif": saved(PICTURE, "TIFF"),
        "lzw.tif": saved(PICTURE, "TIFF", compression="tiff_lzw"),
    }
    parts = {
        f"cut-{int(100 * share)}-{name}": cut(content, share)
        for name, content in whole.items()
        for share in (0.25, 0.5, 0.9)
    }
    parts |= {f"last-byte-missing-{name}": whole[name][:-1] for name in whole if not name.endswith(".gif")}
    return {name: Kind(content, "cannot be decoded|not an image|truncated") for name, content in parts.items()}


def _damaged() -> dict[str, Kind]:
    jpeg, flat, gif = saved(PICTURE, "JPEG"), saved(PICTURE, "PNG"), saved(PICTURE, "GIF")
    rng = np.random.default_rng(3)
    found = {}
    for number in range(8):
        for name, content in (("flipped.jpg", jpeg), ("flipped.png", flat), ("flipped.gif", gif)):
            bits = bytearray(content)
            place = int(rng.integers(2, len(bits)))
            bits[place] ^= 1 << int(rng.integers(8))
            found[f"{number}-{name}"] = Kind(bytes(bits), either=True)
    head = flat.index(b"IHDR")
    data = flat.index(b"IDAT")
    broken = bytearray(flat)
    broken[head + 18] ^= 0xFF
    found["bad-checksum.png"] = Kind(bytes(broken), "cannot be decoded|not an image")
    broken = bytearray(flat)
    broken[data + 20 : data + 40] = bytes(20)
    found["bad-data.png"] = Kind(bytes(broken), "cannot be decoded")
    found["nothing-compressed.png"] = Kind(png(WIDTH, HEIGHT, b""), "cannot be decoded")
    # Nothing is cut off: the encoder itself ended the rows too early. Pillow leaves the others black.
    found["too-few-rows.png"] = Kind(png(WIDTH, HEIGHT, bytes((WIDTH + 1) * 10)), either=True)
    found["no-tables.jpg"] = Kind(jpeg.replace(b"\xff\xdb", b"\xff\xfe"), "cannot be decoded")
    return found


def _of_odd_size() -> dict[str, Kind]:
    contents = {
        "dot.png": (saved(PICTURE[:1, :1], "PNG"), "shorter than"),
        "line.png": (png(30000, 2), "shorter than"),
        "ribbon.png": (png(9000, 9), "50 times"),
        "no-width.png": (png(0, 64), "cannot be decoded|shorter than|not an image"),
        "no-pixels.png": (png(0, 0), "cannot be decoded|shorter than|not an image"),
        "negative.bmp": (bmp_header(-96, 64), "cannot be decoded|shorter than|not an image|more pixels"),
        "bomb.png": (png(20000, 20000), "more pixels"),
        "huge-bomb.png": (png(2**31 - 1, 2**31 - 1), "more pixels"),
        "bomb.bmp": (bmp_header(60000, 60000), "more pixels|cannot be decoded|not an image"),
        "bomb.gif": (b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0, 0, 0) + b"\x2c" + bytes(20), "more pixels"),
        "text-bomb.png": (png(WIDTH, HEIGHT, b"", _text_bomb()), "cannot be decoded|not an image"),
    }
    return {name: Kind(content, why) for name, (content, why) in contents.items()}


def _text_bomb() -> bytes:
    return chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(20_000_000)))


def _of_odd_pixels() -> dict[str, Kind]:
    rgb = Image.fromarray(PICTURE)
    floats = np.linspace(0, 1, WIDTH * HEIGHT, dtype=np.float32).reshape(HEIGHT, WIDTH)
    alpha = np.full((HEIGHT, WIDTH), 255, np.uint8)
    alpha[:, : WIDTH // 2] = 0
    halved = PICTURE * (alpha[..., None] > 0)
    grey_halved = in_three(GREY) * (alpha[..., None] > 0)
    paletted = rgb.quantize(256)
    signed = (WIDE // 2).astype(np.int16)
    bits = in_three((GREY > 99) * np.uint8(255))
    return {
        "float.tif": Kind(saved(floats, "TIFF"), "no known range"),
        "float-with-nan.tif": Kind(saved(np.full_like(floats, np.nan), "TIFF"), "no known range"),
        "integer.tif": Kind(saved(WIDE.astype(np.int32), "TIFF"), "no known range"),
        "small-integer.tif": Kind(saved(GREY.astype(np.int32), "TIFF"), "no known range"),
        "negative.tif": Kind(saved(WIDE.astype(np.int32) - 40000, "TIFF"), "no known range"),
        "signed.tif": Kind(_signed_tiff(signed), pixels=in_three((signed >> 8).astype(np.uint8))),
        "sixteen.png": Kind(saved(WIDE, "PNG"), pixels=in_three((WIDE >> 8).astype(np.uint8))),
        "sixteen.tif": Kind(saved(WIDE, "TIFF"), pixels=in_three((WIDE >> 8).astype(np.uint8))),
        "twelve.png": Kind(saved(WIDE >> 4, "PNG"), pixels=in_three((WIDE >> 8).astype(np.uint8))),
        "cmyk.jpg": Kind(saved(rgb.convert("CMYK"), "JPEG", quality=100), pixels=PICTURE, off=8),
        "cmyk.tif": Kind(saved(rgb.convert("CMYK"), "TIFF"), pixels=PICTURE, off=2),
        "alpha.png": Kind(saved(np.dstack([PICTURE, alpha]), "PNG"), pixels=halved),
        "alpha.webp": Kind(saved(np.dstack([PICTURE, alpha]), "WEBP", lossless=True), pixels=halved),
        "grey-alpha.png": Kind(saved(Image.fromarray(np.dstack([GREY, alpha]), "LA"), "PNG"), pixels=grey_halved),
        "grey.jpg": Kind(saved(GREY, "JPEG", quality=100), pixels=in_three(GREY), off=2),
        "grey.png": Kind(saved(GREY, "PNG"), pixels=in_three(GREY)),
        "palette.png": Kind(saved(paletted, "PNG"), pixels=np.asarray(paletted.convert("RGB"))),
        "palette-4.png": Kind(saved(rgb.quantize(4), "PNG", bits=2), pixels=np.asarray(rgb.quantize(4).convert("RGB"))),
        "one-bit.png": Kind(saved(GREY > 99, "PNG"), pixels=bits),
        "one-bit.tif": Kind(saved(GREY > 99, "TIFF", compression="group4"), pixels=bits),
        "lab.tif": Kind(saved(Image.new("LAB", (WIDTH, HEIGHT), (128, 128, 128)), "TIFF"), either=True),
    }  # fmt: skip


def _signed_tiff(values: np.ndarray) -> bytes:
    content = bytearray(saved(values.astype(np.uint16), "TIFF"))
    (start,) = struct.unpack_from("<I", content, 4)
    (count,) = struct.unpack_from("<H", content, start)
    entries = [bytes(content[place : place + 12]) for place in range(start + 2, start + 2 + 12 * count, 12)]
    entries.append(struct.pack("<HHIHH", SAMPLE_FORMAT, SHORT, 1, SIGNED, 0))
    entries.sort(key=lambda entry: struct.unpack_from("<H", entry))
    struct.pack_into("<I", content, 4, len(content))
    return bytes(content) + struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4)


def _odd_but_whole() -> dict[str, Kind]:
    rgb = Image.fromarray(PICTURE)
    turned = rgb.transpose(Image.Transpose.ROTATE_180)
    jpeg, flat = saved(PICTURE, "JPEG", quality=100), saved(PICTURE, "PNG")
    decoded = np.asarray(Image.open(io.BytesIO(jpeg)).convert("RGB"))
    exact: dict[str, Callable[[], bytes]] = {
        "in-truth-png.jpg": lambda: flat,
        "in-truth-bmp.gif": lambda: saved(PICTURE, "BMP"),
        "rubbish-after.png": lambda: flat + b"rubbish" * 50,
        "animated.webp": lambda: saved(rgb, "WEBP", save_all=True, append_images=[turned], lossless=True),
        "animated.png": lambda: saved(rgb, "PNG", save_all=True, append_images=[turned]),
        "pages.tif": lambda: saved(rgb, "TIFF", save_all=True, append_images=[turned]),
        "tiled-by-libtiff.tif": lambda: saved(rgb, "TIFF", compression="tiff_adobe_deflate"),
        "broken-colours.png": lambda: saved(rgb, "PNG", icc_profile=b"no profile"),
        "text.png": lambda: saved(rgb, "PNG", pnginfo=_texts()),
        "upside-down.bmp": lambda: saved(rgb, "BMP"),
        "dotted name.v2.PNG": lambda: flat,
    }
    found = {name: Kind(make(), pixels=PICTURE) for name, make in exact.items()}
    gif = saved(rgb, "GIF", save_all=True, append_images=[turned])
    found["animated.gif"] = Kind(gif, pixels=PICTURE, off=40)
    found["rubbish-after.jpg"] = Kind(jpeg + b"rubbish" * 50, pixels=decoded)
    found["broken-colours.jpg"] = Kind(saved(rgb, "JPEG", quality=100, icc_profile=b"no"), pixels=decoded)
    found["broken-exif.jpg"] = Kind(
        saved(rgb, "JPEG", quality=100, exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff"), pixels=decoded
    )
    for orientation in range(1, 9):
        found[f"orientation-{orientation}.png"] = Kind(_turned(rgb, orientation), pixels=PICTURE)
    found["orientation-99.png"] = Kind(saved(rgb, "PNG", exif=_exif(99)), pixels=PICTURE)
    return found


def _texts() -> PngImagePlugin.PngInfo:
    texts = PngImagePlugin.PngInfo()
    texts.add_text("Comment", "a" * 5000, zip=True)
    return texts


def _exif(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def _turned(upright: Image.Image, orientation: int) -> bytes:
    turn = Image.Transpose
    undo = (None, turn.FLIP_LEFT_RIGHT, turn.ROTATE_180, turn.FLIP_TOP_BOTTOM, turn.TRANSPOSE, turn.ROTATE_90,
            turn.TRANSVERSE, turn.ROTATE_270)[orientation - 1]  # fmt: skip
    stored = upright if undo is None else upright.transpose(undo)
    return saved(stored, "PNG", exif=_exif(orientation))
