"""A scoring pass in shards: the same list byte for byte, whoever computed its parts."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from alcli.artifacts.shard import Shard
from alcli.workspace import Workspace
from tests.support.trained import SCORES, train_in_parts


@pytest.fixture
def trained(tmp_path, alcli):
    """A workspace of 20 unlabeled images in parts of two, trained, not scored; and the scores of a plain run."""
    return train_in_parts(tmp_path, alcli)[:2]


def command(root, shard):
    return [sys.executable, "-m", "alcli", "score", "-w", str(root), "--shard", shard]


@pytest.mark.parametrize("count", [1, 3, 16])
def test_shards_join_to_the_list_of_a_plain_run(alcli, trained, count):
    root, expected = trained
    for number in reversed(range(1, count + 1)):
        code, out, err = alcli("score", "-w", root, "--shard", f"{number}/{count}", "--json")
        assert code == 0, err
        document = json.loads(out)
        assert (document["shard"], document["parts"]) == (f"{number}/{count}", 10)
        assert document["computed"] == document["share"] == len(range(number - 1, 10, count))
    assert not (root / SCORES).exists()
    assert alcli("score", "-w", root, "--merge")[0] == 0
    assert (root / SCORES).read_bytes() == expected
    assert alcli("score", "-w", root, "--merge")[0] == 0  # once more: already done


@pytest.mark.slow
def test_several_at_once_and_a_killed_one(alcli, trained):
    root, expected = trained
    processes = [subprocess.Popen(command(root, f"{number}/3"), stderr=subprocess.PIPE) for number in (1, 2, 3)]
    folder = root / "cycles/0001/signals"
    while not list(folder.glob("*.safetensors")) and processes[1].poll() is None:
        time.sleep(0.01)
    processes[1].send_signal(signal.SIGKILL)
    codes = [process.wait() for process in processes]
    for process in processes:
        process.stderr.close()
    assert codes[::2] == [0, 0]
    if codes[1]:  # else it was too fast to be killed
        code, _, err = alcli("score", "-w", root, "--merge")
        assert code == 5
        assert "shard 2 of 3 did not finish" in err
        assert f"alcli score -w {root} --shard 2/3" in err
    assert alcli("score", "-w", root, "--shard", "2/3")[0] == 0
    assert alcli("score", "-w", root, "--merge")[0] == 0
    assert (root / SCORES).read_bytes() == expected
    assert not list(folder.glob(".alcli-tmp-*"))


def test_a_finished_part_is_not_computed_again(alcli, trained):
    root, expected = trained
    assert alcli("score", "-w", root, "--shard", "1/2")[0] == 0
    folder = root / "cycles/0001/signals"
    before = {file.name: file.stat().st_mtime_ns for file in folder.glob("*.safetensors")}
    assert len(before) == 5
    first = sorted(before)[0]
    (folder / first).unlink()
    assert json.loads(alcli("score", "-w", root, "--shard", "1/2", "--json")[1])["computed"] == 1
    after = {file.name: file.stat().st_mtime_ns for file in folder.glob("*.safetensors")}
    assert {name for name in before if after[name] != before[name]} == {first}
    assert alcli("score", "-w", root)[0] == 0  # a plain run computes the rest
    assert (root / SCORES).read_bytes() == expected


def test_a_copy_on_another_machine(alcli, trained, tmp_path):
    root, expected = trained
    copy = tmp_path / "elsewhere"
    shutil.copytree(root, copy, ignore=shutil.ignore_patterns("cache", "logs"))
    assert alcli("score", "-w", root, "--shard", "1/2")[0] == 0
    assert alcli("score", "-w", copy, "--shard", "2/2")[0] == 0
    shutil.copytree(copy / "cycles/0001/signals", root / "cycles/0001/signals", dirs_exist_ok=True)
    assert alcli("score", "-w", root, "--merge")[0] == 0
    assert (root / SCORES).read_bytes() == expected


@pytest.mark.parametrize(
    ("flags", "differs"), [(("--set", "score.batch_size=3"), "settings"), (("--strategy", "entropy"), "settings")]
)
def test_a_shard_with_other_settings_is_refused(alcli, trained, flags, differs):
    root, _ = trained
    assert alcli("score", "-w", root, "--shard", "1/2")[0] == 0
    code, _, err = alcli("score", "-w", root, "--shard", "2/2", *flags)
    assert code == 5
    assert f"{differs} " in err
    assert " there, " in err
    assert alcli("score", "-w", root, "--merge", *flags)[0] == 5
    assert alcli("score", "-w", root, "--shard", "2/2")[0] == 0


def test_a_shard_that_another_backend_would_compute_is_refused(alcli, trained, monkeypatch):
    root, _ = trained
    assert alcli("score", "-w", root, "--shard", "1/2")[0] == 0
    monkeypatch.setattr("alcli.artifacts.backends.Backend.in_words", lambda self: "openvino 2026.4.1 float32")
    code, _, err = alcli("score", "-w", root, "--shard", "2/2")
    assert code == 5
    assert "computed by torch " in err
    assert "there, openvino 2026.4.1 float32 here" in err


def test_a_shard_of_another_model_or_list_is_refused_by_hash(alcli, trained, tmp_path):
    root, expected = trained
    other = tmp_path / "other"
    shutil.copytree(root, other)
    assert alcli("train", "-w", other, "--set", "train.seed=1")[0] == 0
    assert alcli("skip", "-w", other, "photo_27.jpg")[0] == 0
    assert alcli("score", "-w", other, "--shard", "2/2")[0] == 0
    shutil.copytree(other / "cycles/0001/signals", root / "cycles/0001/signals", dirs_exist_ok=True)
    note = root / "cycles/0001/signals/shards.json"
    theirs = json.loads(note.read_text())["pass"]
    for arguments in (("--shard", "1/2"), ("--merge",)):
        code, _, err = alcli("score", "-w", root, *arguments)
        assert code == 5
        assert f"model {theirs['model'][:12]} there, " in err
        assert f"list {theirs['list'][:12]} there, " in err
        assert f"rm {note}" in err
    note.unlink()
    for number in (1, 2):
        assert alcli("score", "-w", root, "--shard", f"{number}/2")[0] == 0
    assert alcli("score", "-w", root, "--merge")[0] == 0
    assert (root / SCORES).read_bytes() == expected


def test_a_damaged_part_counts_as_missing(alcli, trained):
    root, _ = trained
    assert alcli("score", "-w", root, "--shard", "1/1")[0] == 0
    file = sorted((root / "cycles/0001/signals").glob("*.safetensors"))[3]
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    code, _, err = alcli("score", "-w", root, "--merge")
    assert code == 5
    assert "1 part of 10 of the scoring pass of cycle 1 is missing: shard 1 of 1" in err
    assert alcli("score", "-w", root, "--shard", "1/1")[0] == 0
    assert alcli("score", "-w", root, "--merge")[0] == 0


@pytest.mark.parametrize("text", ["0/4", "5/4", "x", "1", "/", "1/0", "-1/4", "1/4/2", "²/4", "1/99999999999"])
def test_no_shard(alcli, trained, text):
    code, _, err = alcli("score", "-w", trained[0], "--shard", text)
    assert code == 2
    assert "shard" in err


def test_nothing_to_merge(alcli, trained):
    code, _, err = alcli("score", "-w", trained[0], "--merge")
    assert code == 2
    assert "No shard of cycle 1 was run here." in err
    assert alcli("score", "-w", trained[0], "--shard", "1/2", "--merge")[0] == 2


def test_more_shards_than_parts_and_a_strategy_without_signals(alcli, trained):
    root, _ = trained
    assert json.loads(alcli("score", "-w", root, "--shard", "11/12", "--json")[1])["computed"] == 0
    flags = ("--strategy", "random")
    assert json.loads(alcli("score", "-w", root, "--shard", "1/2", "--json", *flags)[1])["computed"] == 0
    assert alcli("score", "-w", root, "--merge", *flags)[0] == 0


def test_before_the_first_training(alcli, workspace):
    code, _, err = alcli("score", "-w", workspace, "--shard", "1/2")
    assert code == 2
    assert "No training has been finished yet" in err


def test_a_machine_without_the_images(alcli, trained, tmp_path):
    root, expected = trained
    images = tmp_path / "project/images"
    images.rename(tmp_path / "away")
    code, _, err = alcli("score", "-w", root, "--shard", "1/2")
    assert code == 6
    assert "None of 10 images can be read" in err
    (tmp_path / "away").rename(images)
    assert alcli("score", "-w", root, "--shard", "1/2")[0] == 0
    assert alcli("score", "-w", root, "--shard", "2/2")[0] == 0
    assert alcli("score", "-w", root, "--merge")[0] == 0
    assert (root / SCORES).read_bytes() == expected


def test_an_image_that_cannot_be_read_now_leaves_its_part_out(alcli, trained, tmp_path):
    root, expected = trained
    image = tmp_path / "project/images/photo_09.jpg"
    image.rename(tmp_path / "kept")
    code, out, _ = alcli("score", "-w", root, "--shard", "1/1", "--json")
    assert code == 3
    assert json.loads(out)["left_out"] == ["photo_09.jpg"]
    assert alcli("score", "-w", root, "--merge")[0] == 5
    (tmp_path / "kept").rename(image)
    assert alcli("score", "-w", root, "--shard", "1/1")[0] == 0
    assert alcli("score", "-w", root, "--merge")[0] == 0
    assert (root / SCORES).read_bytes() == expected


@pytest.mark.slow
def test_shards_share_the_workspace_and_writers_wait(alcli, trained):
    root, _ = trained
    with Workspace.share(root):
        # A lock belongs to a process: the others are children.
        for arguments, code in ((["score", "--shard", "2/2"], 0), (["pull"], 11), (["score"], 11)):
            call = [sys.executable, "-m", "alcli", *arguments, "-w", str(root), "-q"]
            result = subprocess.run(call, capture_output=True, text=True, check=False)
            assert result.returncode == code, result.stderr
        assert f"pid {os.getpid()}" in result.stderr
    with Workspace.open(root).lock():
        result = subprocess.run([*command(root, "1/2"), "-q"], capture_output=True, text=True, check=False)
    assert result.returncode == 11


def test_every_part_is_in_one_shard():
    parts = list(range(10))
    for of in (1, 3, 16):
        shares = [Shard(number, of).share(parts) for number in range(1, of + 1)]
        assert sorted(part for share in shares for part in share) == parts
