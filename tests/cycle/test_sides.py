"""Which side of the held-out line an image is on depends on its pixels, and never changes."""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3

import pytest
from PIL import Image

from alcli import images
from alcli.artifacts.examples import prepare_examples
from alcli.context import Context
from alcli.system.progress import Silent
from alcli.workspace import Workspace, store
from tests.support.scenes import Photos

BEFORE_PIXELS = 2


@pytest.fixture
def photos(tmp_path):
    """Sixteen annotated images without losses, so that saving them again changes no pixel."""
    project = Photos(tmp_path / "project").draw(16, annotated=16)
    for path in sorted(project.images.iterdir()):
        Image.open(path).save(path.with_suffix(".png"))
        path.unlink()
    return project


def sides(root) -> dict[str, str]:
    """Item → side, as a training would split now."""
    workspace = Workspace.open(root)
    with workspace.lock():
        context = Context(workspace, workspace.configuration(["train.validation=0.5"]), Silent())
        examples = prepare_examples(context)
    workspace.close()
    held_out = {example.item.name: "held out" for example in examples.held_out}
    return {example.item.name: "training" for example in examples.training} | held_out


def save_again(path, target=None):
    """Save with the same pixels and other metadata."""
    exif = Image.Exif()
    exif[0x010E] = f"a description of {path.name}"
    with Image.open(path) as image:
        image.load()
        before = images.hash_pixels(image)
        image.save(target or path, exif=exif, compress_level=1, dpi=(300, 300))
    assert images.inspect(target or path).side == before
    os.utime(target or path, ns=(1, 1))


def forget_pixels(root):
    """The database as the release before pixels were looked at has left it."""
    with sqlite3.connect(root / "alcli.db") as database:
        for statement in (
            "DROP TABLE first_hashes",
            "DROP TABLE queues",
            "DROP TABLE sides",
            "ALTER TABLE images DROP COLUMN side",
        ):
            database.execute(statement)
        database.execute(f"PRAGMA user_version = {BEFORE_PIXELS}")


def test_saving_every_image_again_with_other_metadata_changes_no_side(alcli, workspace, photos):
    assert alcli("pull", "-w", workspace)[0] == 0
    before = sides(workspace)
    assert len(before) == 16 and 4 <= list(before.values()).count("held out") <= 12
    hashes = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in photos.images.iterdir()}
    for path in photos.images.iterdir():
        save_again(path)
        assert hashlib.sha256(path.read_bytes()).hexdigest() != hashes[path.name]
    assert alcli("pull", "-w", workspace)[0] == 0
    assert sides(workspace) == before


def test_a_copy_with_other_metadata_is_on_the_side_of_its_original(alcli, workspace, photos):
    for number in range(16):
        save_again(photos.images / f"photo_{number:02d}.png", photos.images / f"copy_{number:02d}.png")
        text = photos.xml(number).read_text().replace("photo_", "copy_")
        (photos.annotations / f"copy_{number:02d}.xml").write_text(text)
    assert alcli("pull", "-w", workspace)[0] == 0
    found = sides(workspace)
    assert len(found) == 32
    assert [found[f"copy_{n:02d}.png"] for n in range(16)] == [found[f"photo_{n:02d}.png"] for n in range(16)]


def test_images_of_an_earlier_alcli_keep_their_sides_for_ever(alcli, workspace, photos):
    assert alcli("pull", "-w", workspace)[0] == 0
    sides(workspace)
    forget_pixels(workspace)
    share = 0.5 * 16**8
    by_file = {}
    for path in photos.images.iterdir():
        parts = ("held out", hashlib.sha256(path.read_bytes()).hexdigest())
        text = b"".join(len(part).to_bytes(8, "big") + part.encode() for part in parts)
        by_file[path.name] = "held out" if int(hashlib.sha256(text).hexdigest()[:8], 16) < share else "training"
    assert sides(workspace) == by_file
    assert store.newest_version() > BEFORE_PIXELS
    # Saved again, away for a night and back again, and copied under another name.
    for path in sorted(photos.images.iterdir())[:8]:
        shutil.copy(path, photos.images / f"copy_of_{path.name}")
        number = int(path.stem[-2:])
        (photos.annotations / f"copy_of_{path.stem}.xml").write_text(photos.xml(number).read_text())
        save_again(path)
    away = photos.images / "photo_15.png"
    away.rename(photos.root / "away.png")
    assert alcli("pull", "-w", workspace)[0] == 3  # its annotation belongs to no image
    (photos.root / "away.png").rename(away)
    assert alcli("pull", "-w", workspace)[0] == 0
    found = sides(workspace)
    assert len(found) == 24
    assert {name: side for name, side in found.items() if name in by_file} == by_file
    copies = {name.removeprefix("copy_of_"): side for name, side in found.items() if name.startswith("copy_of_")}
    assert copies == {name: by_file[name] for name in copies} and len(copies) == 8


def test_the_hash_is_of_the_upright_pixels(tmp_path):
    picture = Image.effect_noise((700, 300), 90).convert("RGB")
    exif = Image.Exif()
    exif[0x0112] = 6
    picture.save(tmp_path / "turned.png", exif=exif)
    picture.transpose(Image.Transpose.ROTATE_270).save(tmp_path / "upright.bmp")
    picture.save(tmp_path / "other.png")
    turned, upright, other = (images.inspect(tmp_path / name) for name in ("turned.png", "upright.bmp", "other.png"))
    assert turned.side == upright.side != other.side
    assert len({turned.sha256, upright.sha256, other.sha256}) == 3
