"""A strategy comes as one file in another package."""

from __future__ import annotations

import json

import numpy as np
import pytest

from alcli import plugins
from alcli.signals import Signals
from alcli.strategies import make_strategy
from tests.support.packages import installed_while


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """The example package as an installer would leave it."""
    yield from installed_while("third_party_strategy", tmp_path / "site", monkeypatch)


def test_it_is_there_only_while_it_is_installed(installed):
    assert "surprising-count" in plugins.names("strategies")


def test_it_is_not_there_before():
    assert "surprising-count" not in plugins.names("strategies")


def test_it_scores_by_distance_to_the_median(installed):
    pool = Signals(list("abc"), {"expected_objects": np.array([1.0, 2.0, 9.0], np.float32)})
    scores = make_strategy("surprising-count").score(pool, 1, np.random.default_rng(0))
    assert scores.tolist() == [1, 0, 7]


def test_it_is_listed_and_ranks_a_cycle_alone_and_wrapped(installed, alcli, workspace):
    code, out, _ = alcli("list", "strategies", "--json")
    listed = {row["name"]: row for row in json.loads(out)["strategies"]}
    assert code == 0
    assert listed["surprising-count"]["needs"] == "expected_objects"
    assert listed["surprising-count"]["cost"] == "O(n)"
    for name in ("surprising-count", "diverse:surprising-count"):
        code, out, err = alcli("cycle", "-w", workspace, "--strategy", name)
        assert code == 0, err
        assert f"by {name}" in out
