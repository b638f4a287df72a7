"""Names come back, nothing is written outside, no file runs code, no flipped bit is used."""

from __future__ import annotations

import os
import pickle
import socket
from pathlib import Path

import pytest

from tests.fuzz import bit_rot, containment, counts, names, pickles
from tests.fuzz.watch import tree, watched
from tests.support.hashes import hashes


def test_ten_thousand_names_come_back_as_they_were(tmp_path):
    assert counts.round_trips(10_000, 1, tmp_path) == (10_000, 0)
    raw = names.generated(10_000, 1)
    assert len(set(raw)) == 10_000 and max(map(len, raw)) == 251 and b"\xff" in raw and b"NA" in raw


def test_hostile_names_write_nothing_outside(tmp_path):
    assert len(containment.hostile()) >= 200
    given, outside = containment.tried(tmp_path)
    assert given >= 800 and outside == []


def test_the_watch_sees_what_it_should(tmp_path):
    kept = tmp_path / "kept"
    kept.mkdir()
    with watched() as seen:
        (kept / "a").write_text("a")
        (tmp_path / "b").write_bytes(b"b")
        (tmp_path / "c").mkdir()
        (kept / "a").rename(tmp_path / "d")
        os.close(os.open(tmp_path / "e", os.O_CREAT | os.O_WRONLY))
        (tmp_path / "b").read_bytes()
        with socket.socket() as connection, pytest.raises(OSError):
            connection.connect(("127.0.0.1", 1))
    assert seen.outside(kept) == [str(tmp_path / name) for name in "bcde"]
    assert seen.addresses == {("127.0.0.1", 1)}
    (tmp_path / "later").write_text("")
    assert str(tmp_path / "later") not in seen.written and str(tmp_path / "later") in tree(tmp_path)


def test_no_file_runs_code_and_every_one_is_refused(tmp_path):
    canary = tmp_path / "canary"
    assert len(list(pickles.payloads(canary))) >= 50
    given, executed, silent = pickles.tried(tmp_path)
    assert given >= 1000 and executed == 0 and silent == []


@pytest.mark.parametrize("kind", ["pickle 2 open", "torch zip system", "torch legacy exec", "npy open", "joblib open"])
def test_the_payloads_would_run(tmp_path, kind):
    import io

    import joblib
    import numpy as np
    import torch

    content = dict(pickles.payloads(tmp_path / "canary"))[kind]
    load = {"pic": pickle.load, "npy": lambda file: np.load(file, allow_pickle=True), "job": joblib.load}.get(
        kind[:3], lambda file: torch.load(file, weights_only=False)
    )
    made = load(io.BytesIO(content))
    if kind.startswith(("pickle 2 open", "npy", "joblib")):
        found = made["model.weight"] if isinstance(made, dict) else made
        (found[0] if hasattr(found, "shape") else found).close()
    assert (tmp_path / "canary").exists()


def test_a_thousand_flipped_bits_are_all_found(tmp_path):
    assert counts.bit_flips(1000, 1, tmp_path) == (1000, 0)


@pytest.mark.parametrize("file", ["model.safetensors", "scores.csv", "priorities.csv", "signals"])
def test_a_flipped_bit_ends_in_exit_12_or_in_the_same_files_again(tmp_path, alcli, file):
    root = bit_rot.cycled(tmp_path)
    folder = root / "cycles/0001"
    path = folder / file if file != "signals" else next((folder / "signals").glob("*.safetensors"))
    kept = ("model.safetensors", "scores.csv", "priorities.csv")
    before = hashes(folder / name for name in kept)
    content = path.read_bytes()
    path.write_bytes(content[:-9] + bytes([content[-9] ^ 4]) + content[-8:])
    if file == "signals":
        (folder / "scores.csv").unlink()
    codes = [
        alcli(*command, "-w", root)[0] for command in (("cycle",), ("score",), ("export-csv", "-o", tmp_path / "l"))
    ]
    if file == "model.safetensors" and hashes([path])[file] != before[file]:
        codes.append(alcli("score", "-w", root, "--strategy", "entropy")[0])
        assert codes[-1] == 12
    assert set(codes) <= {0, 12}
    assert 12 in codes or hashes(folder / name for name in kept) == before


@pytest.mark.parametrize(
    ("kind", "code"),
    [("torch zip system", 5), ("pickle 0 exec", 5), ("joblib touch", 5), ("behind a safetensors length", 5)],
)
def test_weights_that_run_code_end_in_exit_5(tmp_path, workspace, alcli, kind, code):
    payload = tmp_path / "w.safetensors"
    payload.write_bytes(dict(pickles.payloads(tmp_path / "canary"))[kind])
    flags = ("--set", "model.name=ssd-mobilenet-v2", "--set", f"model.weights={payload}")
    found, _, err = alcli("cycle", "-w", workspace, *flags)
    assert found == 5 and "is not a safetensors file" in err and not (tmp_path / "canary").exists()


def test_a_model_that_was_replaced_ends_in_exit_12_here_and_in_a_backup(tmp_path, alcli):
    root = bit_rot.cycled(tmp_path)
    payload = dict(pickles.payloads(tmp_path / "canary"))["torch zip system"]
    assert alcli("backup", "-w", root, tmp_path / "B")[0] == 0
    for folder in (root, tmp_path / "B"):
        (Path(folder) / "cycles/0001/model.safetensors").write_bytes(payload)
    assert alcli("score", "-w", root, "--strategy", "entropy")[0] == 12
    assert alcli("restore", tmp_path / "B", "-w", tmp_path / "again")[0] == 12
    assert not (tmp_path / "canary").exists()
