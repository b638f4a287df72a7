"""The recipes of ``examples/scale``: their command lines parse, and do what a shard does."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest
import yaml

from alcli.cli import cli

SCALE = Path(__file__).parent.parent / "examples/scale"
README = (SCALE / "README.md").read_text(encoding="utf-8")


def parse(words):
    """Parse a command line without running it."""
    name, *arguments = words
    command = cli.get_command(click.Context(cli), name)
    command.make_context(name, arguments, resilient_parsing=False)


def test_every_command_line_of_the_readme_parses():
    code = [*re.findall(r"`(alcli [^`]*)`", README), *re.findall(r"```sh\n(.*?)```", README, re.S)]
    calls = [shlex.split(part, comments=True) for text in code for line in text.splitlines()
             for part in line.split("&&")]  # fmt: skip
    calls = [words for words in calls if words and words[0] == "alcli" and len(words) > 2]
    assert len(calls) >= 9
    for words in calls:
        parse(words[1:])


@pytest.fixture
def said(tmp_path):
    """Run a script with an ``alcli`` that only says what it was given."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/alcli").write_text('#!/bin/sh\nprintf "%s\\n" "$OMP_NUM_THREADS" "$@"\n')
    (tmp_path / "bin/alcli").chmod(0o755)

    def run(call, **variables):
        path = f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"
        result = subprocess.run(call, env={"PATH": path, **variables}, capture_output=True, text=True, check=True)
        return result.stdout.split("\n")[:-1]

    return run


def test_the_array_gives_each_task_its_shard(said):
    variables = {"SLURM_ARRAY_TASK_ID": "3", "SLURM_ARRAY_TASK_COUNT": "16", "SLURM_CPUS_PER_TASK": "4"}
    threads, *words = said([SCALE / "slurm.sh", "/shared/my cells"], **variables)
    assert threads == "4"
    assert words == ["score", "-w", "/shared/my cells", "--shard", "3/16", "--wait", "30m"]
    parse(words)
    assert re.search(r"^#SBATCH --array=1-16$", (SCALE / "slurm.sh").read_text(), re.M)


def test_the_job_gives_each_pod_its_shard(said):
    job = yaml.safe_load((SCALE / "kubernetes.yaml").read_text())
    assert (job["kind"], job["spec"]["completionMode"]) == ("Job", "Indexed")
    container = job["spec"]["template"]["spec"]["containers"][0]
    variables = {entry["name"]: entry["value"] for entry in container["env"]}
    count = job["spec"]["completions"]
    assert variables["SHARDS"] == str(count)
    call = [*container["command"], *container["args"]]
    shards = [said(call, **variables, JOB_COMPLETION_INDEX=str(index))[5] for index in (0, 1, count - 1)]
    assert shards == [f"1/{count}", f"2/{count}", f"{count}/{count}"]
    parse(said(call, **variables, JOB_COMPLETION_INDEX="0")[1:])
    assert container["volumeMounts"][0]["name"] == job["spec"]["template"]["spec"]["volumes"][0]["name"]


@pytest.mark.slow
def test_an_array_of_two_makes_the_list_of_a_plain_run(alcli, workspace, tmp_path):
    assert alcli("pull", "-w", workspace)[0] == 0
    assert alcli("train", "-w", workspace)[0] == 0
    plain = tmp_path / "plain"
    shutil.copytree(workspace, plain)
    assert alcli("score", "-w", plain)[0] == 0
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/alcli").write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m alcli "$@"\n')
    (tmp_path / "bin/alcli").chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}",
                   "SLURM_ARRAY_TASK_COUNT": "2", "SLURM_CPUS_PER_TASK": "1"}  # fmt: skip
    for number in (1, 2):
        call = [SCALE / "slurm.sh", workspace]
        subprocess.run(call, env={**environment, "SLURM_ARRAY_TASK_ID": str(number)}, check=True)
    assert alcli("score", "-w", workspace, "--merge")[0] == 0
    scores = "cycles/0001/scores.csv"
    assert (workspace / scores).read_bytes() == (plain / scores).read_bytes()
