from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from alcli.priorities import read

SWAPPED = ("img_41.png", "img_52.png")
FIRST, LAST = 36, 60


def label(folder, count, wrong=()):
    """The first images labelled, dark or bright; some of them wrongly."""
    names = [f"img_{number:02}.png" for number in range(count)]
    said = [("dark", "bright")[number % 2 != (name in wrong)] for number, name in enumerate(names)]
    lines = (f"{name},{label}" for name, label in zip(names, said, strict=True))
    (folder / "labels.csv").write_text("\n".join(["name,label", *lines, ""]))


@pytest.fixture
def colours(tmp_path, alcli):
    """Dark and bright images in two cycles; among those annotated after the first, two have the wrong label."""
    rng = np.random.default_rng(0)
    (tmp_path / "images").mkdir()
    for number in range(LAST + 4):
        pixels = rng.integers(150 * (number % 2), 100 + 150 * (number % 2), (32, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"images/img_{number:02}.png")
    label(tmp_path, FIRST)
    code, _, err = alcli(
        "init", tmp_path / "W", "--task", "classification", "--images", tmp_path / "images", "--annotations",
        tmp_path / "labels.csv", "--model", "resnet18", "--budget", 2, "--set", "train.epochs=6",
        "--set", "train.workers=0", "--set", "score.workers=0", "--set", "model.input_size=64",
        "--set", "train.batch_size=8",
    )  # fmt: skip
    assert code == 0, err
    assert alcli("cycle", "-w", tmp_path / "W")[0] == 0
    label(tmp_path, LAST, SWAPPED)
    assert alcli("cycle", "-w", tmp_path / "W")[0] == 0
    return tmp_path / "W"


def test_wrong_labels_stand_first_and_say_what_the_model_sees(alcli, colours):
    code, out, err = alcli("report", "-w", colours, "--json")
    assert code == 0, err
    rows = read(colours / "cycles/0002/audit.csv")
    assert json.loads(out)["suspicious"] == len(rows)
    assert {row["name"] for row in rows[:2]} == set(SWAPPED)
    assert [row["rank"] for row in rows] == [str(rank) for rank in range(1, len(rows) + 1)]
    assert "labelled" in rows[0]["detail"] or "an earlier model" in rows[0]["detail"]
    assert SWAPPED[0] in (colours / "cycles/0002/report.html").read_text()


def test_annotations_are_judged_once_for_a_model(alcli, colours, monkeypatch):
    from alcli import inference

    alcli("report", "-w", colours)
    before = (colours / "cycles/0002/audit.csv").read_bytes()
    monkeypatch.setattr(inference, "item_losses", None)
    assert alcli("report", "-w", colours)[0] == 0
    assert (colours / "cycles/0002/audit.csv").read_bytes() == before


def test_an_image_that_is_gone_is_nobodys_fault(alcli, colours):
    (colours.parent / "images" / SWAPPED[0]).unlink()
    assert alcli("report", "-w", colours)[0] == 0
    assert SWAPPED[1] in (colours / "cycles/0002/audit.csv").read_text()
