from __future__ import annotations

import json
from pathlib import Path

import click
import pytest

from alcli.cli import cli

COMMANDS = {name: cli.get_command(click.Context(cli), name) for name in cli.list_commands(click.Context(cli))}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_examples(name):
    assert COMMANDS[name].help
    assert "Examples:" in COMMANDS[name].help
    assert f"alcli {name}" in COMMANDS[name].help
    for parameter in COMMANDS[name].params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{name} {parameter.name}"


@pytest.mark.parametrize("what", ["strategies", "tasks", "models", "platforms", "formats", "exit-codes"])
def test_lists(alcli, what):
    code, out, _ = alcli("list", what, "--json")
    rows = json.loads(out)[what.replace("-", "_")]
    assert code == 0
    assert len(rows) >= 1
    assert all(all(value is not None for value in row.values()) for row in rows)
    assert alcli("list", what)[0] == 0


def test_doctor_finds_a_good_workspace_good_and_a_bad_one_bad(alcli, workspace, photos):
    code, out, _ = alcli("doctor", "-w", workspace, "--json")
    assert code == 0
    assert {row["check"] for row in json.loads(out)["checks"]} >= {"versions", "disk", "permission", "platform"}
    photos.images.rename(photos.images.with_name("moved"))
    code, _, err = alcli("doctor", "-w", workspace)
    assert code == 2
    assert "Look at: platform." in err


def test_a_dry_run_changes_no_file(alcli, workspace, photos):
    def state():
        return {
            path: path.read_bytes()
            for path in sorted(Path(workspace.parent).rglob("*"))
            if path.suffix in (".csv", ".toml", ".json")
        }

    before = state()
    for command in (("cycle", "--dry-run"), ("pull", "--dry-run")):
        code, out, _ = alcli(*command, "-w", workspace, "--json")
        assert code == 0
        assert json.loads(out)["dry_run"]
    assert state() == before
    assert json.loads(alcli("status", "-w", workspace, "--json")[1])["pool"]["labeled"] == 0


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(alcli, shell):
    code, out, _ = alcli("completion", shell)
    assert code == 0
    assert "_ALCLI_COMPLETE" in out


def test_status_before_and_after_a_cycle(alcli, workspace):
    assert "Next: alcli cycle\n" in alcli("status", "-w", workspace)[1]
    alcli("cycle", "-w", workspace)
    out = alcli("status", "-w", workspace)[1]
    assert "8 labeled, 4 unlabeled" in out
    assert "Next: annotate the head of the queue" in out


def test_a_workspace_is_found_from_the_current_folder_upward(alcli, workspace, monkeypatch):
    monkeypatch.chdir(workspace / "cycles")
    assert alcli("status")[0] == 0
    monkeypatch.chdir("/")
    assert alcli("status")[0] == 10
