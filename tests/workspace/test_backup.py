from __future__ import annotations

import shutil
import sqlite3

import pytest

KEPT = ("model.safetensors", "scores.csv", "priorities.csv", "priorities.wide.csv", "config.json", "metrics.json",
        "queue-before.csv")  # fmt: skip


@pytest.fixture
def cycled(alcli, workspace):
    assert alcli("cycle", "-w", workspace)[0] == 0
    return workspace


def files(root):
    return {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}


def test_what_comes_back_goes_on_like_the_original(alcli, cycled, tmp_path):
    code, out, _ = alcli("backup", "-w", cycled, tmp_path / "copy")
    assert code == 0
    assert "alcli restore" in out
    assert files(tmp_path / "copy") == {
        "alcli.toml",
        "alcli.db",
        *(f"cycles/0001/{name}" for name in KEPT),
    }
    shutil.rmtree(cycled)
    assert alcli("restore", tmp_path / "copy", "-w", cycled)[0] == 0
    code, out, _ = alcli("cycle", "-w", cycled)
    assert code == 0 and out.startswith("Nothing new since cycle 1, but its queue was deleted")
    assert alcli("export-csv", "-w", cycled, "-o", tmp_path / "list.csv")[0] == 0


def test_a_workspace_in_use_is_copied_as_it_stood(alcli, cycled, tmp_path):
    writer = sqlite3.connect(cycled / "alcli.db", isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    writer.execute("DELETE FROM items")
    try:
        assert alcli("backup", "-w", cycled, tmp_path / "copy")[0] == 0
    finally:
        writer.execute("ROLLBACK")
        writer.close()
    assert alcli("status", "-w", tmp_path / "copy")[1].count("8 labeled") == 1


def test_nothing_is_written_over(alcli, cycled, tmp_path):
    alcli("backup", "-w", cycled, tmp_path / "copy")
    before = files(tmp_path / "copy")
    code, _, err = alcli("backup", "-w", cycled, tmp_path / "copy")
    assert code == 2
    assert "exists" in err
    assert alcli("restore", tmp_path / "copy", "-w", cycled)[0] == 2
    assert files(tmp_path / "copy") == before


def test_a_damaged_file_is_found_when_copying_and_when_coming_back(alcli, cycled, tmp_path):
    alcli("backup", "-w", cycled, tmp_path / "copy")
    (tmp_path / "copy/cycles/0001/scores.csv").write_text("rank\n")
    code, _, err = alcli("restore", tmp_path / "copy", "-w", tmp_path / "W2")
    assert code == 12
    assert "scores.csv has changed since cycle 1 wrote it" in err
    assert not (tmp_path / "W2").exists()
    (cycled / "cycles/0001/model.safetensors").unlink()
    assert alcli("backup", "-w", cycled, tmp_path / "other")[0] == 12
    assert not (tmp_path / "other").exists()
    alcli("cycle", "-w", cycled)
    assert alcli("backup", "-w", cycled, tmp_path / "other")[0] == 0


def test_a_folder_that_is_no_backup_is_refused(alcli, tmp_path):
    (tmp_path / "empty").mkdir()
    code, _, err = alcli("restore", tmp_path / "empty", "-w", tmp_path / "W2")
    assert code == 2
    assert "not a complete backup" in err


def test_settings_of_each_cycle_and_the_queue_before_it_come_back(alcli, cycled, photos, tmp_path):
    photos.annotate(9)
    assert alcli("cycle", "-w", cycled, "--set", "train.learning_rate=0.002")[0] == 0
    assert alcli("report", "-w", cycled)[0] == 0
    assert alcli("backup", "-w", cycled, tmp_path / "copy")[0] == 0
    assert alcli("restore", tmp_path / "copy", "-w", tmp_path / "W2")[0] == 0
    for name in ("0001/config.json", "0002/config.json", "0002/report.html", "0002/queue-before.csv"):
        assert (tmp_path / "W2/cycles" / name).read_bytes() == (cycled / "cycles" / name).read_bytes()
    assert alcli("push", "-w", tmp_path / "W2", "--restore")[0] == 0


def test_a_backup_follows_no_link(alcli, cycled, tmp_path):
    (tmp_path / "secret").write_text("secret")
    (cycled / "cycles/0001/config.json").unlink()
    (cycled / "cycles/0001/config.json").symlink_to(tmp_path / "secret")
    assert alcli("backup", "-w", cycled, tmp_path / "copy")[0] == 0
    assert not (tmp_path / "copy/cycles/0001/config.json").exists()
