"""The README is true: its commands exist, its help is current, its first commands really run."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from alcli.cli import cli

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = cli.list_commands(click.Context(cli))


def between(text: str, start: str, end: str) -> str:
    return text.split(start)[1].split(end)[0]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_in_the_readme(name):
    assert f"alcli {name}" in README


def test_the_help_in_the_readme_is_current():
    shown = between(README, "<!-- help -->", "<!-- /help -->").strip().removeprefix("```").removesuffix("```")
    assert shown.strip() == CliRunner().invoke(cli, ["--help"], prog_name="alcli", terminal_width=100).output.strip()


def test_every_command_line_in_the_readme_parses():
    blocks = re.findall(r"```sh\n(.*?)```", README, re.S)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    calls = [part for line in lines for part in line.split("&&") if re.search(r"(^|/|\s)alcli ", part)]
    assert len(calls) >= 4
    for call in calls:
        words = shlex.split(call, comments=True)
        words = words[next(place for place, word in enumerate(words) if word.endswith("alcli")) + 1 :]
        command = cli.get_command(click.Context(cli), words[0])
        assert command is not None, call
        command.make_context(words[0], words[1:], resilient_parsing=False)


def test_the_readmes_test_command_is_what_ci_runs():
    assert ".venv/bin/python -m pytest" in README
    script = (ROOT / ".ci" / "run").read_text()
    assert "install -q '.[test]'" in script
    assert script.rstrip().endswith('"$venv/bin/python" -m pytest')


def test_the_readmes_own_images_commands_work(photos, monkeypatch, alcli, tmp_path):
    monkeypatch.chdir(photos.root)
    (photos.root / "images").rename("photos")
    (photos.root / "annotations").rename("labels")
    block = next(block for block in re.findall(r"```sh\n(.*?)```", README, re.S) if "alcli init W --images" in block)
    quick = ["--set", "train.epochs=1", "--set", "model.input_size=64", "--set", "train.workers=0"]
    for line in block.strip().splitlines():
        words = shlex.split(line)[1:]
        # No network and no minutes in a test: the same line with a tiny model.
        words = [{"imagenet": "none", "ssd-mobilenet-v2": "ssd-tiny"}.get(word, word) for word in words]
        code, _, err = alcli(*words, *(quick if words[0] == "init" else []))
        assert code == 0, err
    assert len((photos.root / "priorities.csv").read_text().splitlines()) == 5


def test_the_changelog_keeps_its_form():
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert text.startswith("# Changelog")
    assert "## [Unreleased]" in text


def test_the_top_level_is_as_agreed():
    agreed = {"alcli", "tests", "examples", "setup.cfg", "pyproject.toml", "README.md", "CHANGELOG.md", "LICENSE"}
    built = {"build", "alcli.egg-info", "alcli-quickstart"}  # what the README's first command leaves
    assert {path.name for path in ROOT.iterdir() if not path.name.startswith(".")} - built == agreed
