"""A trained workspace whose scoring pass has ten parts, and the list of a plain run."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.support.scenes import Photos

SCORES = "cycles/0001/scores.csv"


def train_in_parts(folder: Path, alcli) -> tuple[Path, bytes, Path]:
    """(workspace of 20 unlabeled images in parts of two, scores.csv of a plain run, folder of the images)."""
    photos = Photos(folder / "project").draw(28, annotated=8)
    root = folder / "W"
    settings = ("train.epochs=1", "train.workers=0", "score.workers=0", "model.input_size=64", "train.batch_size=4",
                "score.shard=2", "strategy.name=margin")  # fmt: skip
    flags = [part for setting in settings for part in ("--set", setting)]
    assert alcli("init", root, "--images", photos.images, "--annotations", photos.annotations,
                 "--model", "ssd-tiny", "--budget", 4, *flags)[0] == 0  # fmt: skip
    assert alcli("pull", "-w", root)[0] == 0
    assert alcli("train", "-w", root)[0] == 0
    plain = folder / "plain"
    shutil.copytree(root, plain)
    assert alcli("score", "-w", plain)[0] == 0
    return root, (plain / SCORES).read_bytes(), photos.images
