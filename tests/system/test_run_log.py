from __future__ import annotations

import json
import os
import re
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from alcli.errors import DataError, Interrupted
from alcli.system import crash_reports, run_log
from alcli.system.progress import LOG
from alcli.system.redaction import keep_secret


def lines(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / run_log.FILE_NAME).read_text(encoding="utf-8").splitlines()]


def test_a_cycle_logs_its_steps(alcli, workspace, photos):
    (photos.images / "broken.jpg").write_bytes(b"no image")
    code, out, _ = alcli("cycle", "-w", workspace, "-q", "--json")
    assert code == 3
    entries = lines(workspace / "logs")
    assert {line["run"] for line in entries} == {json.loads(out)["run"]}
    assert entries[0]["event"] == "start"
    assert entries[0]["message"] == f"alcli cycle -w {workspace} -q --json"
    steps = {line["step"]: line for line in entries if line["event"] == "step"}
    assert list(steps) == ["pull", "train", "score", "export", "push"]
    assert steps["train"]["summary"]["trained_on"] > 0
    assert steps["score"]["first_left_out"] == [{"name": "broken.jpg", "reason": "not an image that can be read"}]
    assert any(line["message"].startswith("epoch 1/1") and line["level"] == "debug" for line in entries)
    assert (entries[-1]["event"], entries[-1]["exit_code"]) == ("end", 3)
    assert 0 < entries[-1]["seconds"] < 600
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}(\+00:00|Z)", line["time"]) for line in entries)


@pytest.mark.parametrize("command", ["pull", "train", "score", "push"])
def test_each_writing_command_has_its_run_in_the_log(alcli, workspace, command):
    alcli("cycle", "-w", workspace)
    before = len(lines(workspace / "logs"))
    assert alcli(command, "-w", workspace)[0] == 0
    entries = lines(workspace / "logs")[before:]
    assert [line["event"] for line in entries if line["event"] not in ("said", "progress")] == ["start", "step", "end"]
    assert entries[-1]["exit_code"] == 0


def test_read_only_commands_write_no_log(alcli, workspace):
    for command in (["status"], ["list", "items"], ["health"]):
        alcli(*command, "-w", workspace)
    assert not (workspace / "logs" / run_log.FILE_NAME).exists()


def test_an_error_is_logged_as_the_end_of_its_run(alcli, workspace, photos):
    photos.images.rename(photos.images.with_name("elsewhere"))
    code, _, err = alcli("cycle", "-w", workspace)
    end = lines(workspace / "logs")[-1]
    assert (end["event"], end["level"], end["exit_code"]) == ("end", "error", code)
    assert end["message"] in err


def test_a_machine_error_is_logged_with_its_exit_code(alcli, workspace, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("alcli.cycle._check_names", full)
    assert alcli("cycle", "-w", workspace)[0] == 7
    assert lines(workspace / "logs")[-1]["exit_code"] == 7
    assert json.loads((workspace / "heartbeat.json").read_text())["exit_code"] == 7
    assert not list((workspace / "logs").glob(crash_reports.PATTERN))


def test_a_signal_is_logged_as_the_end_of_its_run(workspace):
    command = [sys.executable, "-m", "alcli", "cycle", "-w", workspace, "--set", "train.epochs=10000", "-v"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    for line in process.stderr:
        if line.startswith("epoch 1/"):
            break
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    end = lines(workspace / "logs")[-1]
    assert (end["event"], end["exit_code"]) == ("end", 143)


def test_a_bug_leaves_its_traceback_in_the_workspace(alcli, workspace, monkeypatch):
    def buggy(*_: object) -> None:
        raise ValueError("a bug")

    monkeypatch.setattr("alcli.cycle._check_names", buggy)
    logs = workspace / "logs"
    for number in range(crash_reports.KEPT + 5):
        (logs / f"crash-{number:08x}.txt").write_text("old")
        os.utime(logs / f"crash-{number:08x}.txt", (number, number))
    code, _, err = alcli("cycle", "-w", workspace)
    end = lines(logs)[-1]
    report = logs / f"crash-{end['run']}.txt"
    assert code == end["exit_code"] == 1
    assert str(report) in err
    assert "ValueError: a bug" in report.read_text()
    assert stat.S_IMODE(report.stat().st_mode) == 0o600
    kept = {path.name for path in logs.glob(crash_reports.PATTERN)}
    assert len(kept) == crash_reports.KEPT
    assert "crash-00000018.txt" in kept


def test_the_log_is_private_and_without_secrets(tmp_path):
    keep_secret('Canary"quoted\\1')
    old = os.umask(0)
    try:
        with run_log.log_run(tmp_path / "logs", ["cycle", "--token", 'Canary"quoted\\1']):
            LOG.info("said", extra={"event": "e", "facts": {"a": ['x Canary"quoted\\1'], "b": {"n": 1}}})
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "logs" / run_log.FILE_NAME).stat().st_mode) == 0o600
    entries = lines(tmp_path / "logs")
    assert "Canary" not in str(entries)
    assert (entries[1]["a"], entries[1]["b"]) == (["x [secret]"], {"n": 1})


def test_the_log_rotates_and_keeps_five_files(tmp_path, monkeypatch):
    monkeypatch.setattr(run_log, "MOST_BYTES", 2000)
    for _ in range(4):
        with run_log.log_run(tmp_path, ["cycle"]):
            for _ in range(20):
                LOG.info("x" * 200)
    files = sorted(tmp_path.iterdir())
    assert len(files) == run_log.FILES
    assert all(path.stat().st_size <= 2000 and stat.S_IMODE(path.stat().st_mode) == 0o600 for path in files)
    assert all(json.loads(line) for path in files for line in path.read_text().splitlines())


def test_an_unfinished_line_does_not_affect_the_next(tmp_path):
    (tmp_path / run_log.FILE_NAME).write_text('{"time": "20')
    with run_log.log_run(tmp_path, ["pull"]):
        pass
    text = (tmp_path / run_log.FILE_NAME).read_text().splitlines()
    assert [json.loads(line)["event"] for line in text[1:]] == ["start", "end"]


def test_names_that_are_not_unicode_do_not_break_the_log(tmp_path):
    with run_log.log_run(tmp_path, ["cycle"]):
        LOG.info("left out: \udcffx.jpg")
    assert lines(tmp_path)[1]["message"] == "left out: \udcffx.jpg"


def _a_folder(path: Path) -> None:
    path.mkdir()


def _a_full_disk(path: Path) -> None:
    path.symlink_to("/dev/full")


def _a_pipe(path: Path) -> None:
    os.mkfifo(path)


@pytest.mark.parametrize("obstacle", [_a_folder, _a_full_disk, _a_pipe])
def test_a_log_that_cannot_be_written_is_ignored(tmp_path, capfd, obstacle):
    obstacle(tmp_path / run_log.FILE_NAME)
    with run_log.log_run(tmp_path, ["cycle"]) as run:
        LOG.info("said")
    assert run.id
    assert capfd.readouterr() == ("", "")


def test_a_full_disk_does_not_stop_the_run(tmp_path, capfd, monkeypatch):
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        monkeypatch.setattr(run_log._Handler, "_open", lambda self: full)
        with run_log.log_run(tmp_path, ["cycle"]):
            LOG.info("x" * 100_000)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("error", "code"), [(DataError("d"), 5), (Interrupted(signal.SIGTERM), 143), (KeyboardInterrupt(), 130)]
)
def test_every_error_is_logged_with_its_exit_code(tmp_path, error, code):
    handlers = list(LOG.handlers)
    with pytest.raises(type(error)), run_log.log_run(tmp_path, ["cycle"]):
        raise error
    assert lines(tmp_path)[-1]["exit_code"] == code
    assert LOG.handlers == handlers
