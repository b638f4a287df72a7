from __future__ import annotations

import io
import os
import signal
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from alcli import images
from alcli.errors import DataError, Interrupted
from alcli.models import pixels


def jpeg(size=(96, 64), **options) -> bytes:
    ramp = np.linspace(0, 255, size[0] * size[1] * 3, dtype=np.uint8).reshape(size[1], size[0], 3)
    stream = io.BytesIO()
    Image.fromarray(ramp).save(stream, "JPEG", **options)
    return stream.getvalue()


def png_header(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "empty file"),
        (b"<html>log in</html>", "not an image"),
        (jpeg()[:20], "not an image|cannot be decoded"),
        (jpeg()[: len(jpeg()) // 2], "cannot be decoded"),
        (jpeg()[:-10], "cannot be decoded"),
        (png_header(20000, 20000), "more pixels than the"),
        (png_header(4, 400), "shorter than 8"),
        (png_header(16, 3000), "50 times"),
        (png_header(64, 64), "cannot be decoded"),
    ],
)
def test_broken_files_are_refused_with_a_reason(tmp_path, content, why):
    path = tmp_path / "x.jpg"
    path.write_bytes(content)
    for look in (images.inspect, images.load):
        with pytest.raises(DataError, match=why):
            look(path)


def test_every_cut_of_a_jpeg_is_noticed(tmp_path):
    content, path = jpeg(), tmp_path / "x.jpg"
    for length in range(0, len(content) - 2, 64):
        path.write_bytes(content[:length])
        with pytest.raises(DataError):
            images.inspect(path)


def test_a_signal_while_decoding_is_no_broken_image(tmp_path, monkeypatch):
    Image.new("RGB", (20, 20)).save(tmp_path / "a.png")

    def stopped(*_):
        raise Interrupted(signal.SIGTERM)

    for step in ("check_size", "to_rgb"):
        with monkeypatch.context() as patch:
            patch.setattr(images, step, stopped)
            with pytest.raises(Interrupted):
                images.load(tmp_path / "a.png")


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "x.jpg")
    with pytest.raises(DataError, match="regular"):
        images.load(tmp_path / "x.jpg")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_exif_orientation_ends_upright(tmp_path, orientation):
    upright = np.zeros((64, 96, 3), np.uint8)
    upright[:16, :16] = 255  # a mark in the top left corner
    undo = {1: [], 2: [Image.Transpose.FLIP_LEFT_RIGHT], 3: [Image.Transpose.ROTATE_180],
            4: [Image.Transpose.FLIP_TOP_BOTTOM], 5: [Image.Transpose.TRANSPOSE], 6: [Image.Transpose.ROTATE_90],
            7: [Image.Transpose.TRANSVERSE], 8: [Image.Transpose.ROTATE_270]}  # fmt: skip
    stored = Image.fromarray(upright)
    for operation in undo[orientation]:
        stored = stored.transpose(operation)
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "x.jpg"
    stored.save(path, quality=95, exif=exif)
    for found in (images.load(path), images.load(path, at_least=(24, 16))):
        pixels = np.asarray(found.resize((96, 64)))
        assert pixels[:12, :12].mean() > 200
        assert pixels[40:, 40:].mean() < 40
    facts = images.inspect(path)
    assert (facts.width, facts.height) == (96, 64)


@pytest.mark.parametrize("mode", ["L", "LA", "P", "1", "RGBA", "CMYK", "YCbCr"])
def test_every_common_mode_becomes_rgb(tmp_path, mode):
    suffix = {"CMYK": "jpg", "YCbCr": "jpg"}.get(mode, "png")
    path = tmp_path / f"x.{suffix}"
    Image.new("RGB", (32, 24), (200, 200, 200)).convert(mode).save(path)
    found = images.load(path)
    assert (found.mode, found.size) == ("RGB", (32, 24))
    assert np.asarray(found).mean() > 150


def test_transparency_lies_over_black(tmp_path):
    Image.new("RGBA", (16, 16), (255, 255, 255, 0)).save(tmp_path / "x.png")
    assert np.asarray(images.load(tmp_path / "x.png")).max() == 0


def test_sixteen_bits_keep_their_range(tmp_path):
    ramp = np.linspace(0, 65535, 64 * 64).astype(np.uint16).reshape(64, 64)
    Image.fromarray(ramp).save(tmp_path / "x.png")
    grey = np.asarray(images.load(tmp_path / "x.png"))[..., 0]
    assert grey.min() == 0
    assert grey.max() == 255
    assert len(np.unique(grey)) == 256


@pytest.mark.parametrize("bits", [8, 10, 12, 14])
def test_fewer_bits_in_a_wide_file_are_stretched_to_white(bits, tmp_path):
    ramp = np.linspace(0, 2**bits - 1, 64 * 64).astype(np.uint16).reshape(64, 64)
    Image.fromarray(ramp).save(tmp_path / "x.png")
    assert images.load(tmp_path / "x.png").getextrema() == ((0, 255),) * 3


def test_floating_point_is_refused(tmp_path):
    Image.fromarray(np.zeros((16, 16), np.float32)).save(tmp_path / "x.tiff")
    with pytest.raises(DataError, match="no known range"):
        images.load(tmp_path / "x.tiff")


def test_a_large_jpeg_is_decoded_at_the_scale_needed(tmp_path):
    (tmp_path / "x.jpg").write_bytes(jpeg((800, 640)))
    assert images.load(tmp_path / "x.jpg", at_least=(100, 80)).size == (100, 80)
    assert images.load(tmp_path / "x.jpg", at_least=(101, 80)).size == (200, 160)
    assert images.load(tmp_path / "x.jpg").size == (800, 640)


def test_content_decides_not_the_suffix(tmp_path):
    Image.new("RGB", (16, 16)).save(tmp_path / "x.png")
    (tmp_path / "x.png").rename(tmp_path / "x.jpg")
    assert images.load(tmp_path / "x.jpg", at_least=(8, 8)).size == (16, 16)


def test_tensors_and_normalisation():
    picture = Image.new("RGB", (20, 10), (255, 0, 51))
    tensor = pixels.to_tensor(picture, (8, 4))
    assert tensor.shape == (3, 4, 8)
    assert tensor.dtype == torch.uint8
    normal = pixels.normalize(tensor[None], [0.5, 0.5, 0.5], [0.5, 0.25, 1.0])
    assert torch.allclose(normal[0, :, 0, 0], torch.tensor([1.0, -2.0, -0.3]), atol=1e-6)


def test_one_value_expanded_to_a_batch_is_normalized_like_its_copies():
    blank = torch.full((), 7, dtype=torch.uint8).expand(2, 3, 4, 5)
    statistics = [0.5, 0.4, 0.3], [0.5, 0.25, 1.0]
    assert torch.equal(pixels.normalize(blank, *statistics), pixels.normalize(blank.contiguous(), *statistics))


def with_scans(count: int) -> bytes:
    """A progressive JPEG whose last scan is repeated, so that it has ``count`` of them."""
    content = jpeg((640, 480), progressive=True)
    starts = [position for position in range(len(content)) if content[position : position + 2] == b"\xff\xda"]
    scan = content[starts[-1] : -2]
    return content[:-2] + scan * (count - len(starts)) + content[-2:]


@pytest.mark.parametrize("count", [20, 100, 101, 1500])
def test_a_jpeg_with_more_scans_than_encoders_write_is_refused_before_it_is_decoded(tmp_path, count, monkeypatch):
    path = tmp_path / "x.jpg"
    path.write_bytes(with_scans(count))
    if count <= images.MOST_SCANS:
        assert images.inspect(path).width == 640
        return
    monkeypatch.setattr(Image.Image, "load", lambda *_: pytest.fail("it was decoded"))
    with pytest.raises(DataError, match="more than 100 scans"):
        images.inspect(path)


def test_what_looks_like_scans_in_metadata_or_behind_the_image_does_not_count(tmp_path):
    plain = jpeg((64, 48), progressive=True)
    noise = b"\xff\xda\x00\x02" * 2000
    comment = b"\xff\xfe" + (len(noise) + 2).to_bytes(2, "big") + noise
    path = tmp_path / "x.jpg"
    path.write_bytes(plain[:2] + comment + plain[2:] + noise)
    assert (images.inspect(path).width, images.inspect(path).height) == (64, 48)
