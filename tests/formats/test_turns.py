"""While a large file is parsed, signals and other threads get their turn: a run can be told to stop."""

from __future__ import annotations

import gc
import json
import threading
from pathlib import Path

import pytest

from alcli.formats._coco_entries import load_json
from alcli.formats._files import DATASET
from alcli.formats._xml import parse_xml

OBJECT = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1.5, 2.5, 3.5, 4.5]}
TURNS = 12


def objects(path: Path) -> None:
    path.write_text(json.dumps({"annotations": [OBJECT] * 150_000}))


def numbers(path: Path) -> None:
    path.write_text(json.dumps({"annotations": [1.5, 2] * 700_000}))


def elements(path: Path) -> None:
    path.write_text("<annotations>" + '<box label="a" xtl="1.5" ytl="2.5"/>' * 300_000 + "</annotations>")


@pytest.mark.parametrize(
    ("write", "parse"), [(objects, load_json), (numbers, load_json), (elements, lambda path: parse_xml(path, DATASET))]
)
def test_others_get_a_turn_while_a_large_file_is_parsed(tmp_path, write, parse):
    write(tmp_path / "labels")
    turns, parsed = 0, threading.Event()

    def count() -> None:
        nonlocal turns
        while not parsed.wait(0.001):
            turns += 1

    thread = threading.Thread(target=count)
    # Libraries of tests are called at each collection, which gives turns that no run has.
    gc.disable()
    thread.start()
    try:
        parse(tmp_path / "labels")
    finally:
        gc.enable()
        parsed.set()
        thread.join()
    assert turns > TURNS


def test_numbers_outside_of_objects_are_the_same_numbers(tmp_path):
    text = json.dumps([0, -1, 1.5, 1e300, -0.0, 2**70, "x"])
    (tmp_path / "a.json").write_text(text + " " * 2**20)
    assert json.dumps(load_json(tmp_path / "a.json")) == text
