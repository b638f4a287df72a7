"""A seeded sample of what ``examples/benchmarks/reliability.py`` does at every call."""

from __future__ import annotations

import random
import shutil

import pytest

from tests.faults import hardships, overlaps
from tests.faults.fork_server import TORN, ForkServer
from tests.faults.scenes import SCENES, Folder, Remote
from tests.faults.sweeps import Sweep

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler to count system calls")
SAMPLE = 4


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    with ForkServer(tmp_path_factory.mktemp("runs")) as server:
        yield server


@pytest.fixture(scope="module", params=SCENES, ids=["folder", "superannotate", "label-studio"])
def sweep(request, runs, tmp_path_factory):
    place = tmp_path_factory.mktemp("sweep")
    return Sweep(request.param.make(place, runs), runs, place)


def some(sweep: Sweep, kinds: str, seed: int) -> list[int]:
    """A few of the calls of these kinds."""
    places = [place for place, letter in enumerate(sweep.calls, 1) if letter in kinds]
    return random.Random(seed).sample(places, min(SAMPLE, len(places)))


def wrong(points) -> list[str]:
    return [f"{point.what}: {point.wrong}" for point in points if point.wrong]


def test_the_calls_that_matter_are_seen(sweep):
    assert {"w", "s", "r", "o", "u"} <= set(sweep.calls)
    assert ("n" in sweep.calls) == isinstance(sweep.scene, Remote)


def test_killed_before_a_call(sweep):
    assert wrong(sweep.kills(some(sweep, "wsroumtn", 1))) == []


def test_killed_within_a_write(sweep):
    assert wrong(sweep.kills(some(sweep, "w", 2), TORN)) == []


@pytest.mark.parametrize("error", ["ENOSPC", "EIO"])
@pytest.mark.parametrize("lasting", [False, True])
def test_refused_a_call(sweep, error, lasting):
    assert wrong(sweep.errors(some(sweep, "wsromt", 3), error, lasting)) == []


@pytest.mark.parametrize("signal", [15, 2])
def test_told_to_stop(sweep, signal):
    assert wrong(sweep.random_kills(2, 4, sweep.seconds, signal)) == []


@pytest.mark.parametrize("processes", [2, 8])
def test_of_several_runs_one_works(runs, tmp_path, processes):
    scene = Folder.make(tmp_path, runs)
    assert overlaps.overlap(scene, runs, tmp_path / "trial", processes).wrong == ()


def test_hosts_that_send_something_else(runs, tmp_path):
    assert wrong(hardships.bad_hosts(runs, tmp_path, ["html", "half", "drip"])) == []


def test_labels_that_are_gone_for_a_night(runs, tmp_path):
    assert wrong(hardships.lost_sources(runs, tmp_path, ["empty", "halved", "a folder gone"])) == []
