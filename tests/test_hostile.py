"""Files of a workspace that fuzzing has broken a reader with: each is refused, with its exit code."""

from __future__ import annotations

import json
import sqlite3

import numpy as np
import pytest
import safetensors.numpy
import torch

from alcli import config
from alcli.annotations import Annotation, Keypoint, Pose
from alcli.artifacts import signal_parts
from alcli.engine import training_state
from alcli.errors import DataError, UsageError, WorkspaceDamaged
from alcli.items import Item, Refusal
from alcli.models import storage
from alcli.platforms._answers import LONGEST_WAIT, retry_after
from alcli.platforms._downloads import Downloads
from alcli.platforms._superannotate_options import SuperannotateOptions
from alcli.platforms._superannotate_token import normalize_url
from alcli.platforms.oracle import Oracle
from alcli.signals import Signals
from alcli.system import tables
from alcli.system.arrays import is_intact
from alcli.workspace import Workspace, heartbeat
from alcli.workspace.records import Scored

NOTES = [None, "7", "[]", "{}", "[" * 100_000, '{"position": 7}', '{"task": 1}']


@pytest.mark.parametrize("notes", NOTES)
@pytest.mark.parametrize("read", [storage.read, training_state.read])
def test_a_manifest_that_is_none_is_refused(tmp_path, read, notes):
    content = safetensors.numpy.save({"model.x": np.zeros(2)}, None if notes is None else {"alcli": notes})
    (tmp_path / "m").write_bytes(content)
    with pytest.raises(DataError):
        read(tmp_path / "m")


def test_a_state_without_its_random_numbers_does_not_fit(tmp_path):
    model = torch.nn.Linear(1, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    learner = training_state.Learner(
        model, torch.nn.Linear(1, 1), optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)
    )
    state = learner.capture(training_state.Position())
    for lost in ("steps", training_state.CPU_RANDOM):
        tensors = {name: value for name, value in state.tensors.items() if name != lost}
        with pytest.raises(DataError, match="does not fit this network"):
            learner.restore(training_state.TrainingState(state.position, tensors, state.environment))


def test_a_list_in_another_encoding_is_refused(tmp_path):
    (tmp_path / "p.csv").write_bytes("name,x\nä,1\n".encode("latin-1"))
    with pytest.raises(DataError, match="not a CSV file in UTF-8"):
        tables.read(tmp_path / "p.csv")


@pytest.mark.parametrize("text", ["", "7", "[" * 100_000, '{"boxes": [{}]}', '{"boxes": 7}', '{"size": [1]}'])
def test_an_annotation_that_nobody_wrote_is_refused(text):
    with pytest.raises(DataError, match="is invalid"):
        Annotation.from_json("x", text)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"message": []}', '{"ended": 1e300}', '{"exit_code": "0"}', "[]"])
def test_a_heartbeat_that_is_none_counts_for_nothing(tmp_path, text):
    (tmp_path / heartbeat.FILE_NAME).write_text(text)
    assert heartbeat.read(tmp_path) == heartbeat.Heartbeat()


@pytest.mark.parametrize("text", ["platform.images=a\0b", "model.weights=\0"])
def test_a_path_with_a_nul_is_none(tmp_path, text):
    with pytest.raises(UsageError, match="is not a valid path"):
        config.load(tmp_path, [text], {})


def test_links_in_a_circle_are_no_path(tmp_path):
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    try:
        config.load(tmp_path, ["platform.images=a"], {})
    except UsageError as error:
        assert "platform.images" in error.what


def test_addresses_that_python_cannot_take_apart_are_refused(tmp_path):
    for url in ("https://[", "https://x:99999999", "https://x:a"):
        with pytest.raises(UsageError, match="is not the address of a service"):
            normalize_url(url)
    with pytest.raises(DataError, match="its address is not http or https"):
        Downloads(tmp_path, SuperannotateOptions()).file("key", lambda: ("https://[", {}))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("²", None), ("Thu, 01 Jan 1970 00:00:00 -0000", 0.0), ("9" * 400, LONGEST_WAIT), ("Mon, 99 Jan 2026", None)],
)
def test_a_wait_that_cannot_be_read_is_none(text, seconds):
    assert retry_after(text) == seconds


@pytest.mark.parametrize("line", ["{", "7", '{"id": 7}', '{"id": "a", "uri": 1, "version": "", "annotation": ""}'])
def test_an_oracle_says_when_its_files_are_not_its_own(tmp_path, line):
    (tmp_path / "answers").write_text(line + "\n")
    oracle = Oracle(Oracle.Options(annotations=tmp_path / "answers", queue=tmp_path / "queue.csv"), tmp_path)
    with pytest.raises(WorkspaceDamaged, match="is damaged, or a simulation did not write it"):
        list(oracle.items())
    (tmp_path / "revealed.json").write_text("7")
    with pytest.raises(WorkspaceDamaged, match=r"revealed\.json is damaged"):
        oracle.visible_ids()


@pytest.fixture
def made(tmp_path):
    """A workspace with one item and one finished step."""
    workspace = Workspace.create(tmp_path / "W", {"platform.images": "images"})
    item = Item("a", "a", "file:///a", "", "labeled", "1")
    workspace.store.replace_items([item], [(item, Annotation("a"))])
    scores = workspace.cycle_folder(1) / "scores.csv"
    scores.write_text("rank\n")
    workspace.finish_step(1, "inputs", Scored(), scores)
    workspace.close()
    return tmp_path / "W"


def change(root, statement: str) -> None:
    with sqlite3.connect(root / "alcli.db") as database:
        database.execute(statement)
    database.close()


@pytest.mark.parametrize("file", ["../../evil.csv", "/etc/passwd", "cycles/../../../x"])
def test_a_row_whose_file_lies_outside_is_damage(made, file):
    change(made, f"UPDATE steps SET file = '{file}'")
    workspace = Workspace.open(made)
    with pytest.raises(WorkspaceDamaged, match="lies outside"):
        workspace.step(1, Scored)
    workspace.close()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE steps SET summary = '['",
        'UPDATE steps SET summary = \'{"scored": "x"}\'',
        "UPDATE annotations SET content = '{'",
    ],
)
def test_rows_that_are_not_what_was_written_are_damage(made, statement):
    change(made, statement)
    workspace = Workspace.open(made)
    with pytest.raises(WorkspaceDamaged, match="is damaged"):
        workspace.step(1, Scored)
        workspace.store.annotations(["a"])
    workspace.close()


def test_a_text_that_is_none_and_a_column_that_is_gone_are_damage_and_exit_12(alcli, made):
    change(made, "UPDATE items SET state = CAST(x'ff' AS TEXT)")
    code, out, _ = alcli("status", "-w", made, "--json")
    assert (code, json.loads(out)["exit_code"]) == (12, 12)
    change(made, "ALTER TABLE items RENAME COLUMN state TO stage")
    code, _, err = alcli("status", "-w", made)
    assert code == 12 and "items has no state" in err


def test_a_part_with_one_bit_changed_is_not_intact(tmp_path):
    items = [Item("a", "a", "u"), Item("b", "b", "u")]
    signals = Signals(["a"], {"entropy": np.array([0.5]), "embedding": np.ones((1, 3), np.float16)})
    signal_parts.write(tmp_path / "part", signals, [Refusal("b", "b", "broken")])
    found, refusals = signal_parts.read(tmp_path / "part", items)
    assert found.item_ids == ["a"] and [row.reason for row in refusals] == ["broken"]
    content = (tmp_path / "part").read_bytes()
    for bit in range(8 * len(content)):
        changed = bytearray(content)
        changed[bit // 8] ^= 1 << bit % 8
        (tmp_path / "part").write_bytes(changed)
        assert not is_intact(tmp_path / "part")
        with pytest.raises(WorkspaceDamaged, match="is not what the scoring pass wrote"):
            signal_parts.read(tmp_path / "part", items)


def test_names_that_are_no_text_are_refused_and_can_be_told():
    with pytest.raises(DataError, match="not valid text"):
        Item("1", "a\ud800.jpg", "u")
    with pytest.raises(DataError, match="is not valid text"):
        Annotation("x", labels=("cat", "\ud800"))
    with pytest.raises(DataError, match="is not valid text"):
        Annotation("x", poses=(Pose("man", (Keypoint("nose\udfff", 1, 2),)),))
    assert Refusal("1", "a\ud800", "b\udfff").name == "a\\ud800"
