"""What a strategy cannot see is named, with what is done instead."""

from __future__ import annotations

import csv
import shutil


def asked(workspace) -> list[str]:
    with max(workspace.glob("cycles/*/priorities.wide.csv")).open() as stream:
        return [row["name"] for row in csv.DictReader(stream) if row["asked"] == "yes"]


def test_images_that_are_all_alike_are_asked_for_by_uncertainty(alcli, workspace, photos):
    for number in range(9, 12):
        shutil.copy(photos.images / photos.name(8), photos.images / photos.name(number))
    code, _, err = alcli("cycle", "-w", workspace)
    assert code == 0, err
    assert "The features of all images are equal: the list is in the order of uncertainty alone." in err
    assert len(asked(workspace)) == 2


def test_a_labeled_image_that_cannot_be_read_covers_nothing_and_is_counted(alcli, workspace, photos):
    assert alcli("pull", "-w", workspace)[0] == alcli("train", "-w", workspace)[0] == 0
    (photos.images / photos.name(0)).unlink()
    code, _, err = alcli("score", "-w", workspace)
    assert code in (0, 3), err
    assert "1 labeled image without features: images that look like them may be asked for." in err


def test_a_budget_beyond_the_pool_asks_for_all_of_it(alcli, workspace):
    code, _, err = alcli("cycle", "-w", workspace, "--budget", 50, "-v")
    assert code == 0, err
    assert "The budget (50) is larger than the pool: all of it is asked for." in err
    assert len(asked(workspace)) == 4


def test_without_a_held_out_image_uncertainties_weigh_as_at_first(alcli, workspace):
    code, _, err = alcli("cycle", "-w", workspace, "--validation", "0.000001", "-v")
    assert code == 0, err
    assert "No labeled image falls into the held-out share yet: this cycle has no metric." in err
    assert "unknown with fewer than 10 held-out images. Images weigh 95 % by class uncertainty, 5 % equally." in err


def test_one_class_is_said(alcli, workspace, photos):
    for path in photos.annotations.glob("*.xml"):
        text = path.read_text()
        for label in ("red", "green", "blue"):
            text = text.replace(f"<name>{label}</name>", "<name>thing</name>")
        path.write_text(text)
    code, _, err = alcli("cycle", "-w", workspace)
    assert code == 0, err
    assert "There is one class only (thing)" in err
    assert len(asked(workspace)) == 2
