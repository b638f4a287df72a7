"""Clocks that jump between nights and within them: lists, deadlines, backups and monitors do not follow them."""

from __future__ import annotations

import os
import shutil
import time
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime

import pytest

from alcli.platforms._answers import retry_after
from alcli.system import crash_reports
from tests.faults import hardships
from tests.faults.fork_server import ForkServer
from tests.faults.scenes import SuperAnnotate
from tests.support.superannotate_server import Fault

needs_compiler = pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler to set a process's clock")
DAYS = 400


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    with ForkServer(tmp_path_factory.mktemp("runs")) as server:
        yield server


def wrong(points) -> list[str]:
    return [f"{point.what}: {point.wrong}" for point in points if point.wrong]


@needs_compiler
def test_nights_with_other_clocks_and_zones_make_the_same_lists(runs, tmp_path):
    names = ["a year ahead for a night", "ahead, behind, right", "before 1970", hardships.JUMPING]
    assert wrong(hardships.clock_jumps(runs, tmp_path, names)) == []


@needs_compiler
@pytest.mark.parametrize("skew", [-hardships.YEAR, hardships.YEAR])
def test_deadlines_hold_while_the_clock_jumps(runs, tmp_path, skew):
    trial = SuperAnnotate.make(tmp_path, runs).fresh(tmp_path / "trial")
    try:
        trial.server.faults = [Fault("drip", "/photos/", 10**6)]
        ended = runs.run(trial.order({"ALCLI_PLATFORM_DEADLINE": "3"}, skew=skew, jumping=True))
        assert ended.code == 6, ended.stderr
        trial.server.faults = []
        assert runs.run(trial.order(skew=skew)).code == 0
        assert trial.server.queue()
    finally:
        trial.close()


def http_date(days: float) -> str:
    return format_datetime(datetime.now(timezone.utc) + timedelta(days=days), usegmt=True)


def test_a_wait_until_a_date_goes_by_the_clock_of_the_service():
    assert retry_after(http_date(DAYS), http_date(DAYS)) == pytest.approx(0, abs=1)
    later = format_datetime(datetime(2031, 1, 1, 0, 0, 30, tzinfo=timezone.utc), usegmt=True)
    assert retry_after(later, "Wed, 01 Jan 2031 00:00:00 GMT") == pytest.approx(30, abs=0.1)
    assert retry_after("7", http_date(DAYS)) == 7


def test_the_newest_report_of_a_crash_stays_whatever_the_times_of_others(tmp_path):
    for number in range(30):
        path = tmp_path / f"crash-{number}.txt"
        path.write_text("old")
        os.utime(path, (time.time() + DAYS * 86400 + number,) * 2)
    error = crash_reports.internal_error(ValueError("new"), tmp_path, "abc")
    left = {path.read_text() == "old" for path in tmp_path.glob("crash-*.txt")}
    assert left == {True, False}, error.do
    assert len(list(tmp_path.glob("crash-*.txt"))) == crash_reports.KEPT
