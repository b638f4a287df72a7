"""Dark and bright images in two cycles, two of them labeled wrongly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from alcli import cli

SWAPPED = ("img_41.png", "img_52.png")
FIRST, LAST = 36, 60


def label(folder, count, wrong=()):
    """The first images labeled, dark or bright; some of them wrongly."""
    names = [f"img_{number:02}.png" for number in range(count)]
    said = [("dark", "bright")[number % 2 != (name in wrong)] for number, name in enumerate(names)]
    lines = (f"{name},{label}" for name, label in zip(names, said, strict=True))
    (folder / "labels.csv").write_text("\n".join(["name,label", *lines, ""]))


def run(*arguments: object) -> int:
    """An alcli command; its exit code."""
    return cli.run([str(argument) for argument in arguments])


def make(folder: Path) -> Path:
    """The workspace after both; among what was annotated after the first, two labels are wrong."""
    rng = np.random.default_rng(0)
    (folder / "images").mkdir()
    for number in range(LAST + 4):
        pixels = rng.integers(150 * (number % 2), 100 + 150 * (number % 2), (32, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"images/img_{number:02}.png")
    label(folder, FIRST)
    code = run(
        "init", folder / "W", "--task", "classification", "--images", folder / "images", "--annotations",
        folder / "labels.csv", "--model", "resnet18", "--budget", 2,
        "--set", "train.epochs=30",
        "--set", "train.workers=0", "--set", "score.workers=0", "--set", "model.input_size=64",
        "--set", "train.batch_size=8",
    )  # fmt: skip
    assert code == 0
    assert run("cycle", "-w", folder / "W", "-q") == 0
    label(folder, LAST, SWAPPED)
    assert run("cycle", "-w", folder / "W", "-q") == 0
    return folder / "W"
