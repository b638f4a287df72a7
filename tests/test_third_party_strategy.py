"""A strategy comes as one file in another package."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest

from alcli import config, plugins
from alcli.errors import UsageError
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


def test_its_own_option_is_read_from_the_file_checked_and_used(installed, tmp_path):
    (tmp_path / "alcli.toml").write_text('[strategy]\nname = "surprising-count"\nquantile = 1\n')
    pool = Signals(list("abc"), {"expected_objects": np.array([1.0, 2.0, 9.0], np.float32)})
    section = config.load(tmp_path, [], {}).strategy
    for name in ("surprising-count", "cost-normalised:surprising-count"):
        made = make_strategy(name, section)
        assert getattr(made, "inner", made).score(pool, 1, np.random.default_rng(0)).tolist() == [8, 7, 0]
    with pytest.raises(UsageError, match=r"strategy.quantile = 2: input should be less than or equal to 1"):
        config.load(tmp_path, ["strategy.quantile=2"], {})
    with pytest.raises(UsageError, match=r"Unknown key 'strategy.quantil'. Did you mean quantile"):
        config.load(tmp_path, ["strategy.quantil=0.5"], {})


def test_its_option_stays_with_it_when_a_simulation_runs_another_strategy(installed, tmp_path):
    wrapped = "strategy.name=diverse:surprising-count"
    section = config.load(tmp_path, [wrapped, "strategy.quantile=0.2", "strategy.random_share=0.1"], {}).strategy
    other = config.rename_strategy(section, "margin")
    assert (other.name, other.random_share, hasattr(other, "quantile")) == ("margin", 0.1, False)
    again = config.rename_strategy(section, "surprising-count")
    assert (again.name, again.quantile) == ("surprising-count", 0.2)


def test_a_configuration_with_it_survives_the_way_to_another_process(installed, tmp_path):
    loaded = config.load(tmp_path, ["strategy.name=surprising-count", "strategy.quantile=0.2"], {})
    assert pickle.loads(pickle.dumps(loaded)) == loaded


def test_without_the_strategy_its_option_is_refused_by_name(installed, tmp_path):
    with pytest.raises(UsageError) as error:
        config.load(tmp_path, [], {"ALCLI_STRATEGY_QUANTILE": "0.2"})
    assert error.value.what == (
        "strategy.quantile belongs to the strategy surprising-count; this workspace has strategy.name = auto."
    )


def test_its_option_changes_the_list_of_a_cycle(installed, alcli, workspace):
    flags = ("-w", workspace, "--strategy", "surprising-count", "--set", "strategy.random_share=0")
    lists = []
    for quantile in (0, 1):
        assert alcli("cycle", *flags, "--set", f"strategy.quantile={quantile}")[0] == 0
        assert alcli("export-csv", "-w", workspace, "-o", workspace / f"{quantile}.csv")[0] == 0
        lists.append((workspace / f"{quantile}.csv").read_text().splitlines()[1:])
    assert [row.split(",")[0] for row in lists[0]] != [row.split(",")[0] for row in lists[1]]
    kept = json.loads((workspace / "cycles/0001/config.json").read_text())
    assert kept["strategy"]["quantile"] == 0


def test_list_settings_shows_its_option(installed, alcli):
    _, out, _ = alcli("list", "settings", "--json")
    (listed,) = [row for row in json.loads(out)["settings"] if row["name"] == "strategy.quantile"]
    assert listed["plugin"] == "surprising-count"
    assert (listed["type"], listed["default"]) == ("number", 0.5)
    assert listed["description"].startswith("of the pool's counts")


def test_it_is_listed_and_ranks_a_cycle_alone_and_wrapped(installed, alcli, workspace):
    code, out, _ = alcli("list", "strategies", "--json")
    listed = {row["name"]: row for row in json.loads(out)["strategies"]}
    assert code == 0
    assert listed["surprising-count"]["needs"] == "expected_objects"
    assert listed["surprising-count"]["cost"] == "O(n)"
    for name in ("surprising-count", "diverse:surprising-count"):
        code, out, err = alcli("cycle", "-w", workspace, "--strategy", name)
        assert code == 0, err
        assert f"(strategy: {name})" in out
