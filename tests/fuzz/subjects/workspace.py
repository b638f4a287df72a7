"""What lies in a workspace or is given to it: settings, models, trainings, parts, lists, rows, backups, names."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
from hypothesis import strategies as st

from alcli import config, images
from alcli.annotations import Annotation, Box
from alcli.artifacts import signal_parts
from alcli.cli._options import Duration
from alcli.engine import training_state
from alcli.errors import AlcliError, UsageError
from alcli.formats._names import ImageNames
from alcli.items import LABELED, Item, path_to_uri, uri_to_path
from alcli.models import storage, weights
from alcli.signals import Signals
from alcli.system import clock, tables
from alcli.system.arrays import is_intact
from alcli.system.text import readable, visible
from alcli.workspace import Workspace, backup, heartbeat
from alcli.workspace.database import machine_errors
from alcli.workspace.records import Scored
from tests.fuzz.inputs import documents, files, tensor_files, text_files, texts, words
from tests.fuzz.samples import PICTURES
from tests.fuzz.subject import Subject, Use
from tests.fuzz.subjects.annotations import in_file

TOML = [
    '[platform]\nname = "folder"\nimages = "../images"\nannotations = "../a"\n[task]\nclasses = ["a", "b"]\n',
    "[train]\nepochs = 3\nlearning_rate = 1e-3\nmilestones = [0.5, 0.8]\n[selection]\nbudget = 4\n",
    '[model]\nname = "ssd-tiny"\nweights = "w.safetensors"\n[task.sigmas]\nnose = 0.1\n',
]
TOML_WORDS = ["[", "]", "=", '"""', "'''", "{", "}", ".", "[[a]]", "1979-05-27T07:32:00Z", "0xff", "inf", "nan", "#",
              "[train]", "a.b.c = 1", "\\u0000", "1_0", "24:61:00", "[" * 3000, "{a=" * 2000]  # fmt: skip
KEYS = ["train.epochs", "platform.images", "platform.folders", "task.classes", "task.sigmas", "task.flip_pairs",
        "model.weights", "model.input_size", "train.milestones", "score.batch_size", "platform.token_file", "a.b",
        "train", "train.epochs.x", ".", "selection.budget"]  # fmt: skip
MANIFEST = {"task": "detection", "model": "ssd-tiny", "classes": ["a", "b"], "input_shape": [64, 64], "channels": [3]}
POSITION = {"epoch": 1, "batches": 2, "sums": [1.0, 2.0, 3.0], "refusals": [
    {"id": "a", "name": "a", "reason": "broken", "version": "1", "transient": False}]}  # fmt: skip
STATE = {"position": POSITION, "environment": {"device": "cpu", "threads": "1", "torch": "2"}}
ROW = {"boxes": [{"label": "a", "x1": 1, "y1": 2, "x2": 3, "y2": 4, "score": None}], "size": [64, 48], "labels": ["a"],
       "poses": [{"label": "p", "keypoints": [{"name": "n", "x": 1, "y": 2, "visible": True, "score": None}],
                  "box": None}], "polygons": [{"label": "a", "rings": [[1, 1, 5, 1, 5, 5]], "holes": []}],
       "masks": [{"label": "a", "counts": "4", "size": [2, 2], "pixel_id": None}], "relative": False}  # fmt: skip
PART = (Signals(["a", "b"], {"entropy": np.array([0.1, 0.2]), "embedding": np.ones((2, 3), np.float16)}), [])
ITEMS = [Item("a", "a", "u"), Item("b", "b", "u")]


def _tensors(notes: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    header = {
        "__metadata__": {"alcli": json.dumps(notes)},
        "model.weight": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]},
        "loss_head.bias": {"dtype": "I64", "shape": [], "data_offsets": [8, 16]},
    }
    return header, bytes(16)


def _part() -> tuple[dict[str, Any], bytes]:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        signal_parts.write(Path(folder) / "part", *PART)
        content = (Path(folder) / "part").read_bytes()
    length = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def _config(folder: Path) -> config.Config:
    return config.load(folder, (), {})


def _overrides(folder: Path) -> contextlib.AbstractContextManager[Use]:
    def use(settings: list[tuple[str, str, bool]]) -> None:
        environment = {f"ALCLI_{key.replace('.', '_').upper()}": value for key, value, named in settings if named}
        config.load(folder, [f"{key}={value}" for key, value, named in settings if not named], environment)

    return contextlib.nullcontext(use)


def _part_used(folder: Path) -> None:
    file = folder / "part"
    whole = is_intact(file)
    try:
        signals, _ = signal_parts.read(file, ITEMS)
    except AlcliError:
        # What is believed to be whole can be read: else the run would end instead of computing it again.
        assert not whole or b"refused" in file.read_bytes()
        raise
    assert whole
    assert all(np.array_equal(signals[name], PART[0][name]) for name in PART[0].arrays)


def _list(folder: Path) -> None:
    rows = tables.read(folder / "p.csv")
    stream = io.StringIO()
    if rows:
        tables.write_rows(stream, list(rows[0]), [list(row.values()) for row in rows])


def _durations(folder: Path) -> contextlib.AbstractContextManager[Use]:
    def use(text: str) -> None:
        try:
            seconds = Duration().convert(text, None, None)  # type: ignore[arg-type]
        except click.UsageError as error:
            raise UsageError(str(error)) from None
        assert 0 <= seconds < float("inf")

    return contextlib.nullcontext(use)


def _names(folder: Path) -> contextlib.AbstractContextManager[Use]:
    def use(raw: bytes) -> None:
        name = os.fsdecode(raw)
        shown = readable(name)
        shown.encode()
        assert visible(shown, keep="").isprintable()
        assert uri_to_path(path_to_uri(Path("/") / name)) == Path("/") / name
        images = ImageNames([shown, "a/b.jpg"], suffixes=True)
        assert shown in images.find(shown)
        ImageNames([shown], suffixes=False).find(shown)

    return contextlib.nullcontext(use)


def _annotation_row(folder: Path) -> contextlib.AbstractContextManager[Use]:
    return contextlib.nullcontext(lambda text: Annotation.from_json("x", text.decode("utf-8", "replace")))


@contextlib.contextmanager
def _backups(folder: Path) -> Iterator[Use]:
    workspace = Workspace.create(folder / "W", {"platform.images": "images", "platform.name": "folder"})
    item = Item("a", "a", "file:///a", "", LABELED, "1")
    workspace.store.replace_items([item], [(item, Annotation("a", (Box("x", 1, 1, 2, 2),)))])
    workspace.store.start_cycle(1, "", "now")
    scores = workspace.cycle_folder(1) / "scores.csv"
    scores.write_text("rank\n")
    workspace.finish_step(1, "inputs", Scored(cold_start=True), scores)
    backup.backup(workspace, folder / "backup")
    workspace.close()
    whole = (folder / "backup/alcli.db").read_bytes()

    def use(edits: Callable[[bytes], bytes]) -> None:
        (folder / "backup/alcli.db").write_bytes(edits(whole))
        for copy in folder.glob("copy*"):
            shutil.rmtree(copy)
        with machine_errors(folder):
            backup.restore(folder / "backup", folder / "copy")
            restored = Workspace.open(folder / "copy")
            try:
                restored.store.annotations(restored.store.pool().items)
                restored.step(1, Scored)
            finally:
                restored.close()

    yield use


def _edits() -> st.SearchStrategy[Callable[[bytes], bytes]]:
    """Changes of a database, whose bytes are only known later."""
    places = st.integers(0, 1 << 20)
    flips = st.lists(st.tuples(places, st.integers(1, 255)), min_size=1, max_size=5)
    text = st.sampled_from([b"cycles/0001/scores.csv", b"score", b"inputs", b'{"cold_start": true}', b"labeled"])
    other = st.sampled_from([b"../../../../evil.csv\0\0", b"/etc/passwd", b"\xff", b"\0", b"[", b""])

    def flipped(changes: list[tuple[int, int]]) -> Callable[[bytes], bytes]:
        def edit(content: bytes) -> bytes:
            mutable = bytearray(content)
            for place, mask in changes:
                mutable[place % len(mutable)] ^= mask
            return bytes(mutable)

        return edit

    def replaced(pair: tuple[bytes, bytes]) -> Callable[[bytes], bytes]:
        word = pair[1][: len(pair[0])].ljust(len(pair[0]), b"/")
        return lambda content: content.replace(pair[0], word)

    cut = places.map(lambda place: lambda content: content[: place % len(content)])
    return st.one_of(flips.map(flipped), st.tuples(text, other).map(replaced), cut)


settings = st.lists(st.tuples(st.sampled_from(KEYS), st.one_of(words, texts(["[1, 2]", "a"], TOML_WORDS)),
                              st.booleans()), max_size=4)  # fmt: skip

SUBJECTS = [
    Subject("alcli.toml", text_files(TOML, TOML_WORDS), in_file("alcli.toml", _config)),
    Subject("flags and environment", settings, _overrides),
    Subject(
        "model manifest",
        tensor_files([_tensors(MANIFEST)]),
        in_file("m.safetensors", lambda folder: storage.read(folder / "m.safetensors")),
    ),
    Subject(
        "weights",
        tensor_files([_tensors({})]),
        in_file("w.safetensors", lambda folder: weights.read(folder / "w.safetensors")),
        share=0.5,
    ),
    Subject(
        "half-done training",
        tensor_files([_tensors(STATE)]),
        in_file("c.safetensors", lambda folder: training_state.read(folder / "c.safetensors").differences()),
    ),
    Subject("signal parts", tensor_files([_part()]), in_file("part", _part_used)),
    Subject("images", files(PICTURES), in_file("x.jpg", lambda folder: images.inspect(folder / "x.jpg"))),
    Subject(
        "priorities",
        text_files(['name,entropy_value\na.jpg,1.00000\n"b,c",0.50000\n'], ['"', ",", "\n", "\r", "\0", '""']),
        in_file("p.csv", _list),
    ),
    Subject(
        "durations", texts(["90s", "30m", "26h", "7d", "1e3"], ["s", "d", "e", "nan", "inf", "_", "-"]), _durations
    ),
    Subject(
        "names",
        st.binary(min_size=1, max_size=40).filter(lambda raw: not {0, 47} & {*raw} and raw not in (b".", b"..")),
        _names,
    ),
    Subject(
        "annotation rows",
        st.one_of(documents([ROW]).map(lambda row: json.dumps(row).encode()), files([json.dumps(ROW).encode()])),
        _annotation_row,
    ),
    Subject(
        "heartbeat",
        st.one_of(
            documents(
                [{"ended": 1.0, "exit_code": 0, "seconds": 1.0, "succeeded": 1.0, "failures": 0, "message": ""}]
            ).map(lambda row: json.dumps(row).encode()),
            files([b'{"ended": 1.0, "exit_code": 0}']),
        ),
        in_file("heartbeat.json", lambda folder: _beat(heartbeat.read(folder))),
        share=0.5,
    ),
    Subject("backups", _edits(), _backups, share=0.1),
]


def _beat(beat: heartbeat.Heartbeat) -> None:
    beat.after(1.0, 5, 1.0, "x").age(2.0)
    clock.utc(beat.ended)
    assert isinstance(beat.message, str)
