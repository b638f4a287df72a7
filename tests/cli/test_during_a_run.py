"""What an operator asks while a run holds the workspace, and at any other time."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import re
import sqlite3
import subprocess
import sys

import pytest

PAGE = "cycles/0001/report.html"


@contextlib.contextmanager
def long_cycle(workspace):
    """Another process in the middle of a long training, after its first epochs."""
    command = [sys.executable, "-m", "alcli", "cycle", "-w", workspace, "--set", "train.epochs=10000", "-v"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        for line in process.stderr:
            if line.startswith("epoch 2/"):
                break
        yield process
    finally:
        process.kill()
        process.communicate()


def steps(workspace):
    with contextlib.closing(sqlite3.connect(workspace / "alcli.db")) as connection:
        return connection.execute("SELECT cycle, step, inputs FROM steps ORDER BY cycle, step").fetchall()


def test_status_report_and_explain_answer_during_a_run(alcli, workspace, photos):
    assert alcli("cycle", "-w", workspace)[0] == 0
    photos.annotate(8)
    with long_cycle(workspace) as process:
        code, out, _ = alcli("status", "-w", workspace)
        assert code == 0
        host = re.escape(os.uname().nodename)
        assert re.search(
            rf"Running since \d+ \w+ \d\d:\d\d \(pid {process.pid} on {host}, alcli cycle .*\): "
            r"Training: epoch \d+/10000",
            out,
        )
        assert "Next: nothing until the run ends" in out
        running = json.loads(alcli("status", "-w", workspace, "--json")[1])["running"]
        assert (running["pid"], running["host"]) == (process.pid, os.uname().nodename)
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", running["since"])
        before = [row for row in steps(workspace) if row[1] != "checkpoint"]
        page = alcli("report", "-w", workspace, "--json")
        assert page[0] == 0
        assert json.loads(page[1])["file"] == str(workspace / PAGE)
        assert "cycle 1" in (workspace / PAGE).read_text()
        assert [row for row in steps(workspace) if row[1] != "checkpoint"] == before
        assert alcli("explain", "-w", workspace, "photo_09.jpg")[0] == 0
        code, _, err = alcli("report", "-w", workspace, "--cycle", 2)
        assert code == 11
        assert f"Cycle 2 is not finished, and another run holds this workspace: pid {process.pid}" in err
    assert json.loads(alcli("status", "-w", workspace, "--json")[1])["running"] is None


def test_a_report_before_the_first_cycle_ends_says_who_holds_the_workspace(alcli, workspace):
    with long_cycle(workspace) as process:
        code, _, err = alcli("report", "-w", workspace)
    assert code == 11
    assert f"The first cycle is not finished, and another run holds this workspace: pid {process.pid}" in err


def test_a_page_for_other_users(alcli, workspace, tmp_path):
    alcli("cycle", "-w", workspace)
    public = tmp_path / "page.html"
    code, out, _ = alcli("report", "-w", workspace, "-o", public)
    assert code == 0
    assert str(public) in out
    assert public.read_bytes() == (workspace / PAGE).read_bytes()
    assert public.stat().st_mode & 0o777 == 0o644
    code, _, err = alcli("report", "-w", workspace, "-o", tmp_path / "nowhere" / "page.html")
    assert code == 7
    assert "nowhere" in err


def test_counts_agree_with_what_is_left_out(alcli, workspace, photos):
    (photos.images / photos.name(9)).write_bytes(b"")
    photos.annotate(8)
    stranger = (photos.annotations / "photo_08.xml").rename(photos.annotations / "stranger.xml")
    stranger.write_text(stranger.read_text().replace("<filename>photo_08", "<filename>stranger"))
    alcli("cycle", "-w", workspace)
    out = alcli("status", "-w", workspace)[1]
    assert "8 labeled, 3 unlabeled, 0 skipped, 1 quarantined" in out
    assert "Left out: 1 quarantined image, 1 name without a usable image; reasons: alcli list quarantine" in out
    assert json.loads(alcli("status", "-w", workspace, "--json")[1])["left_out"] == 2


def test_the_table_of_cycles_shows_what_changes(alcli, workspace, photos):
    alcli("cycle", "-w", workspace)
    header = alcli("status", "-w", workspace)[1].splitlines()[2]
    assert header.split() == ["cycle", "finished", "trained", "on", "metric", "ranked"]
    assert "correlation" in alcli("status", "-w", workspace, "-v")[1]
    alcli("cycle", "-w", workspace, "--strategy", "random")
    out = alcli("status", "-w", workspace)[1]
    assert "strategy" in out.splitlines()[2] and "random" in out


def test_a_dry_run_says_whether_a_cycle_would_run(alcli, workspace, photos):
    def dry_run(*flags):
        document = json.loads(alcli("cycle", "-w", workspace, "--dry-run", "--json", *flags)[1])
        return document["would_run"], document["cycle"]

    assert dry_run() == (True, 1)
    assert (
        "Cycle 1 would run: it is the first one. Nothing was changed."
        in alcli("cycle", "-w", workspace, "--dry-run")[1]
    )
    assert alcli("cycle", "-w", workspace)[0] == 0
    assert dry_run() == (False, None)
    assert "No cycle would run: nothing is new. Nothing was changed." in alcli("cycle", "-w", workspace, "--dry-run")[1]
    assert dry_run("--set", "train.epochs=2") == (True, 2)
    (workspace / "cycles/0001/priorities.csv").unlink()
    assert dry_run() == (True, 1)
    photos.annotate(8)
    assert dry_run() == (True, 2)
    queue = photos.queue
    before = queue.read_bytes()
    assert dry_run() == (True, 2)
    assert queue.read_bytes() == before
    assert json.loads(alcli("status", "-w", workspace, "--json")[1])["pool"]["labeled"] == 8


def test_one_of_something_is_singular(alcli, workspace, photos):
    assert alcli("cycle", "-w", workspace, "--budget", 1)[0] == 0
    _, out, _ = alcli("skip", "-w", workspace, "photo_11.jpg")
    assert out == "1 image is excluded from now on.\n"
    for number in (8, 9):
        photos.annotate(number)
    out = alcli("cycle", "-w", workspace, "--budget", 1)[1]
    assert "Ranked 1 image; the first is to be annotated (strategy: auto)." in out
    assert "Queue: 1 image; 3 taken out" in out
    assert "1 images" not in out


def test_the_first_list_says_what_it_is_once(alcli, workspace, photos):
    for path in photos.annotations.glob("*.xml"):
        path.unlink()
    code, out, err = alcli("cycle", "-w", workspace, "--accept-shrink")
    assert code == 0
    assert "Cycle 1: nothing to train on yet, the list is a random sample. Annotate its first images," in out
    assert "cold start" not in out + err
    with (workspace / "cycles/0001/priorities.wide.csv").open() as stream:
        assert {row["reason"] for row in csv.DictReader(stream)} == {"first list: a random sample"}


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs a terminal")
def test_a_terminal_keeps_the_last_line_of_a_training_and_breaks_no_word(workspace):
    import fcntl
    import struct
    import termios

    leading, following = os.openpty()
    fcntl.ioctl(following, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    command = [sys.executable, "-m", "alcli", "cycle", "-w", workspace, "--set", "train.epochs=60"]
    environ = {**os.environ, "TERM": "xterm", "COLUMNS": "80"}
    process = subprocess.Popen(command, stdout=following, stderr=following, stdin=following, env=environ)
    os.close(following)
    output = b""
    with contextlib.suppress(OSError):
        while chunk := os.read(leading, 65536):
            output += chunk
    assert process.wait() == 0
    os.close(leading)
    text = output.decode()
    assert re.search(r"epoch \d+/60 · loss [\d.]+ · \d+ s left", text)
    kept = [
        re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line).split("\r")[-1] for line in text.replace("\r\n", "\n").split("\n")
    ]
    assert any(re.fullmatch(r"Training: epoch 60/60 · loss [\d.e-]+ · took \d+ s", line) for line in kept)
    assert all(len(line) <= 80 for line in kept if " " in line)
