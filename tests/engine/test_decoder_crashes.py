"""A decoder that dies on an image costs this image, never the run; what the others give stays the same."""

from __future__ import annotations

import faulthandler
import json
import os
import signal
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from alcli import images
from alcli.engine.loading import batches
from alcli.errors import MachineError
from alcli.items import Item
from alcli.tasks import Example
from tests.support.scenes import Photos

REASON = "the decoder crashed on it"
MARK = b"deadly"
REAL = images.decode


@pytest.fixture
def deadly_decoder(monkeypatch, tmp_path):
    """A decoder that aborts on marked files; also only when they are loaded for a model, if wished so."""

    def decode(content: bytes, at_least: tuple[int, int] | None) -> Image.Image:
        if MARK in content and (at_least or not (tmp_path / "only-in-load").exists()):
            faulthandler.disable()  # pytest's: a page of stack for each
            os.abort()
        return REAL(content, at_least)

    monkeypatch.setattr(images, "decode", decode)


def mark(photos: Photos, *numbers: int) -> None:
    for number in numbers:
        with (photos.images / photos.name(number)).open("ab") as stream:
            stream.write(MARK)


def describe_problems(alcli, workspace: Path) -> dict[str, str]:
    rows = json.loads(alcli("list", "quarantine", "-w", workspace, "--json")[1])
    rows = next(value for value in rows.values() if isinstance(value, list))
    return {row["name"]: row["reason"] for row in rows}


def test_in_the_first_look_and_the_scoring_pass(alcli, workspace, photos, deadly_decoder):
    mark(photos, 2, 9)
    code, _, err = alcli("cycle", "-w", workspace, "--set", "score.workers=2")
    assert code == 3, err
    assert describe_problems(alcli, workspace) == {photos.name(2): REASON, photos.name(9): REASON}
    ranked = (workspace / "cycles" / "0001" / "scores.csv").read_text()
    assert len(ranked.splitlines()) == 1 + 3
    assert photos.name(9) not in ranked


def test_in_training(alcli, workspace, photos, deadly_decoder, tmp_path):
    mark(photos, 2, 5)
    (tmp_path / "only-in-load").touch()
    options = ("--set", "train.workers=2", "--set", "score.workers=2", "--set", "train.epochs=3", "--validation", "0")
    code, _, err = alcli("cycle", "-w", workspace, *options)
    assert code == 3, err
    assert describe_problems(alcli, workspace) == {photos.name(2): REASON, photos.name(5): REASON}
    assert "Nothing new" in alcli("cycle", "-w", workspace, *options)[1]


def test_the_weights_are_those_of_a_training_that_was_told(alcli, photos, tmp_path, monkeypatch, deadly_decoder):
    """Whether an image is refused by dying or by an error, and by how many workers, the rest learns the same."""
    (tmp_path / "only-in-load").touch()
    mark(photos, 1)
    weights = []
    for turn, workers in enumerate((1, 2, 0)):
        if workers == 0:

            def refuse(content: bytes, at_least: tuple[int, int] | None) -> Image.Image:
                if MARK in content and at_least:
                    raise images.DataError(REASON)
                return REAL(content, at_least)

            monkeypatch.setattr(images, "decode", refuse)
        root = tmp_path / f"W{turn}"
        alcli(
            "init", root, "--images", photos.images, "--annotations", photos.annotations, "--model", "ssd-tiny",
            "--set", f"train.workers={workers}", "--set", "score.workers=1", "--set", "model.input_size=64",
            "--set", "train.batch_size=2", "--set", "train.epochs=2", "--set", "train.augment=flip",
            "--set", "train.validation=0",
        )  # fmt: skip
        alcli("pull", "-w", root)
        assert alcli("train", "-w", root)[0] == 3
        weights.append(load_file(root / "cycles" / "0001" / "model.safetensors"))
    for other in weights[1:]:
        assert all(torch.equal(other[name], value) for name, value in weights[0].items())


class Fragile:
    """A task whose loading dies for some items."""

    def __init__(self, deadly: set[str], number: int = signal.SIGABRT) -> None:
        self.deadly, self.number = deadly, number

    def load(self, example: Example, augment: str) -> tuple:
        if example.item.id in self.deadly:
            faulthandler.disable()
            os.kill(os.getpid(), self.number)
        return torch.full((3, 4, 4), int(example.item.id), dtype=torch.uint8), {}, (4, 4)


def pool(count: int) -> list[Example]:
    return [Example(Item(str(number), f"{number}.jpg", "u"), Path("x")) for number in range(count)]


ORDER = [list(range(start, start + 4)) for start in range(0, 40, 4)]


@pytest.mark.parametrize("start", [(0, 0), (1, 3)])
@pytest.mark.parametrize("workers", [1, 3])
def test_every_batch_comes_once_and_in_order(start, workers):
    rows = list(batches(Fragile({"0", "21", "22", "39"}), pool(40), lambda _: ORDER, workers, epochs=2, start=start))
    expected = (ORDER * 2)[10 * start[0] + start[1] :]
    assert len(rows) == len(expected)
    for (batch, refusals), places in zip(rows, expected, strict=True):
        assert batch is not None
        gone = [row.id for row in refusals]
        assert gone == [str(place) for place in places if place in (0, 21, 22, 39)]
        assert {row.reason for row in refusals} <= {REASON}
        assert [int(image[0, 0, 0]) for image in batch.images] == [p for p in places if str(p) not in gone]


def test_what_is_killed_may_be_tried_again():
    refusals = [row for _, refused in batches(Fragile({"5"}, signal.SIGKILL), pool(8), lambda _: ORDER[:2], 1)
                for row in refused]  # fmt: skip
    assert [(row.id, row.transient) for row in refusals] == [("5", True)]


def test_workers_that_die_for_no_image_are_the_machines_fault():
    own = os.nice(0)

    class Doomed(Fragile):
        def load(self, example: Example, augment: str) -> tuple:
            if os.nice(0) > own:  # a loading process, not the child that looks for the culprit
                faulthandler.disable()
                os.abort()
            return super().load(example, augment)

    with pytest.raises(MachineError, match="again and again"):
        list(batches(Doomed(set()), pool(8), lambda _: ORDER[:2], 2))


def test_a_death_is_heard_only_where_a_batch_is_waited_for():
    """At any other instant, an update of the model would be half done."""
    stream = batches(Fragile({"8"}), pool(40), lambda _: ORDER, 1)
    next(stream)
    for _ in range(200):
        signal.sigtimedwait([], 0.005)  # the program at work; the worker dies meanwhile
    assert sum(len(refused) for _, refused in stream) == 1
