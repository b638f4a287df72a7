from __future__ import annotations

import json
import os
import re
import signal
import stat
import time

import pytest

from alcli.errors import Interrupted
from alcli.workspace import heartbeat
from alcli.workspace.heartbeat import Heartbeat
from alcli.workspace.prometheus import write_metrics


def test_failures_are_counted_until_a_run_ends_well_and_3_is_well():
    beat = Heartbeat().after(100.0, 6, 1.0, "no network").after(200.0, 6, 1.0, "no network")
    assert (beat.failures, beat.succeeded, beat.message) == (2, 0.0, "no network")
    good = beat.after(300.0, 3, 5.0)
    assert (good.failures, good.succeeded, good.message) == (0, 300.0, "")
    assert good.after(400.0, 5, 1.0, "broken").succeeded == 300.0
    assert good.age(360.0) == 60
    assert beat.age(1e9) == float("inf")


@pytest.mark.parametrize("content", [None, "", "[1]", '{"other": 1}', "{"])
def test_a_file_that_is_not_there_or_not_ours_is_no_heartbeat(tmp_path, content):
    if content is not None:
        (tmp_path / heartbeat.FILE_NAME).write_text(content)
    assert heartbeat.read(tmp_path) == Heartbeat()


def test_metrics_are_what_prometheus_reads_and_readable_by_its_user(tmp_path):
    beat = Heartbeat(ended=5.5, exit_code=3, seconds=2.0, succeeded=5.5)
    old = os.umask(0o077)
    try:
        write_metrics(tmp_path / "a.prom", beat, {"labeled": 8, "unlabeled": 4}, {"map": 0.25})
    finally:
        os.umask(old)
    lines = (tmp_path / "a.prom").read_text().splitlines()
    assert 'alcli_pool_items{state="unlabeled"} 4' in lines
    assert 'alcli_model_metric{name="map"} 0.25' in lines
    assert "alcli_last_run_exit_code 3" in lines
    for line in lines:
        assert line.startswith(("# HELP alcli_", "# TYPE alcli_")) or len(line.rsplit(" ", 1)) == 2
    assert stat.S_IMODE((tmp_path / "a.prom").stat().st_mode) == 0o644


def test_a_cycle_leaves_its_heartbeat_whichever_way_it_ends(alcli, workspace, photos, tmp_path):
    assert alcli("health", "-w", workspace)[0] == 6
    prom = tmp_path / "alcli.prom"
    assert alcli("cycle", "-w", workspace, "--metrics-file", prom)[0] == 0
    code, out, _ = alcli("health", "-w", workspace, "--json")
    assert (code, json.loads(out)["healthy"]) == (0, True)
    assert 'alcli_pool_items{state="labeled"} 8' in prom.read_text()
    photos.images.rename(photos.images.with_name("unmounted"))
    for _ in range(2):
        assert alcli("cycle", "-w", workspace, "--metrics-file", prom)[0] == 6
    code, out, _ = alcli("health", "-w", workspace)
    assert code == 6
    assert "Failing: 2 runs in a row" in out
    assert "There is no folder" in out
    assert "alcli_consecutive_failures 2" in prom.read_text()
    photos.images.with_name("unmounted").rename(photos.images)
    assert alcli("cycle", "-w", workspace)[0] == 0
    assert alcli("health", "-w", workspace)[0] == 0


def test_a_run_told_to_stop_is_remembered_with_its_own_code(alcli, workspace, monkeypatch):
    def stopped(*arguments):
        raise Interrupted(signal.SIGTERM)

    monkeypatch.setattr("alcli.cycle.run_cycle", stopped)
    assert alcli("cycle", "-w", workspace)[0] == 143
    beat = heartbeat.read(workspace)
    assert (beat.exit_code, beat.message, beat.failures) == (143, "Stopped by a signal.", 1)


def test_an_old_success_is_stale(alcli, workspace):
    beat = Heartbeat().after(time.time() - 7200, 0, 1.0)
    heartbeat.write(workspace, beat)
    assert alcli("health", "-w", workspace, "--max-age", "3h")[0] == 0
    code, out, _ = alcli("health", "-w", workspace, "--max-age", "90m")
    assert code == 6
    assert re.search(r"Stale: the last successful run, \S+Z, is older than 90 minutes\.", out)


@pytest.mark.parametrize("text", ["h", "-1h", "soon", "inf", "nan", ""])
def test_a_duration_that_is_none_is_named(alcli, workspace, text):
    code, _, err = alcli("health", "-w", workspace, f"--max-age={text}")
    assert code == 2
    assert "examples: 90s, 30m, 26h, 7d" in err


def test_help_cron_names_commands_and_options_that_exist(alcli):
    import re

    import click

    from alcli.cli import cli

    code, out, _ = alcli("help", "cron")
    assert code == 0
    for name, rest in re.findall(r"alcli (cycle|health|list)\b([^\n(]*)", out):
        command = cli.get_command(click.Context(cli), name)
        known = {option for parameter in command.params for option in parameter.opts}
        assert set(re.findall(r"(?<=\s)--?[a-z-]+", rest)) <= known, rest
