from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from alcli import errors
from alcli.cli._console import Console


def test_data_is_shown_never_obeyed(capsys):
    console = Console(as_json=False, quiet=False, verbose=False)
    console.table("[red]x[/red]", ("name",), [("[/b]",), ("[red]x.jpg",), ("\x1b[31mred\x1b[0m.jpg",)])
    out = capsys.readouterr().out
    assert "[/b]" in out
    assert "[red]x.jpg" in out
    assert "\x1b[31mred" not in out


def test_quiet_and_json_speak_alone(capsys):
    Console(as_json=False, quiet=True, verbose=True).result({"a": 1}, "text")
    Console(as_json=True, quiet=False, verbose=False).table("t", ("h",), [("x",)])
    assert capsys.readouterr().out == ""
    Console(as_json=True, quiet=False, verbose=False).result({"a": 1}, "text")
    assert json.loads(capsys.readouterr().out) == {"schema_version": 1, "a": 1}


def test_every_error_has_an_exit_code_that_is_documented():
    def below(kind):
        return [kind, *(deeper for child in kind.__subclasses__() for deeper in below(child))]

    for kind in (*below(errors.AlcliError), errors.Interrupted):
        error = kind(signal.SIGINT) if kind is errors.Interrupted else kind("what", kept="kept", do="do")
        assert error.exit_code in errors.EXIT_CODES, kind
        if kind.__module__ == errors.__name__:  # a platform may tell its own errors apart
            assert kind.__name__ in errors.__doc__
        assert str(kind.__doc__).endswith(".")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_stops_cleanly_and_the_next_run_goes_on(workspace, photos, number, code):
    command = [sys.executable, "-m", "alcli", "cycle", "-w", workspace, "--set", "train.epochs=10000", "-v"]
    # A shell's background job, which this suite may be, hands its children an ignored SIGINT.
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)
    )
    for line in process.stderr:
        if line.startswith("epoch 2/"):
            break
    process.send_signal(number)
    started = time.monotonic()
    rest = process.communicate(timeout=30)[1]
    assert time.monotonic() - started < 30
    assert process.returncode == code
    assert "Run the same command to resume." in rest
    assert "Traceback" not in rest
    done = subprocess.run([sys.executable, "-m", "alcli", "cycle", "-w", workspace], capture_output=True, check=False)
    assert done.returncode == 0


def test_overlapping_runs_one_wins_the_other_says_who(workspace):
    command = [sys.executable, "-m", "alcli", "cycle", "-w", workspace, "--set", "train.epochs=10000", "-v"]
    first = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        for line in first.stderr:
            if line.startswith("epoch 1/"):
                break
        second = subprocess.run(command, capture_output=True, text=True, check=False)
        assert second.returncode == 11
        assert f"pid {first.pid}" in second.stderr
    finally:
        first.kill()
        first.communicate()


def test_a_closed_pipe_is_no_drama(workspace):
    command = f"{sys.executable} -m alcli list items -w {workspace} | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.stderr == ""


def test_a_bare_environment_is_enough(workspace):
    environ = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "PYTHONUTF8": "0", "ALCLI_TRAIN_MIN_STEPS": "0"}
    if "PYTHONPATH" in os.environ:
        environ["PYTHONPATH"] = os.environ["PYTHONPATH"]
    done = subprocess.run(
        [sys.executable, "-m", "alcli", "cycle", "-w", workspace], capture_output=True, env=environ, check=False,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", [["list", "items"], ["status", "--json"], ["--help"]])
def test_a_reader_that_has_seen_enough_is_no_error(workspace, command):
    where = [] if command == ["--help"] else ["-w", str(workspace)]
    line = [sys.executable, "-m", "alcli", *command, *where]
    reading, writing = os.pipe()
    os.close(reading)
    ended = subprocess.run(line, stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writing)
    assert (ended.returncode, ended.stderr) == (141, "")


def test_a_full_disk_under_the_output_is_told_and_loses_nothing(workspace):
    with open("/dev/full", "w") as full:  # noqa: PTH123 (a device)
        line = [sys.executable, "-m", "alcli", "pull", "-w", str(workspace)]
        ended = subprocess.run(line, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert ended.returncode == 7
    assert "The output cannot be written" in ended.stderr and "What the command did is kept." in ended.stderr
