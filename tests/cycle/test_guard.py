"""A model that is clearly worse than the last one does not rank."""

from __future__ import annotations

import json

import pytest

from tests.support.colours import LAST, SWAPPED, label

BAD = ("--set", "train.epochs=1", "--set", "train.init=scratch", "--set", "train.learning_rate=1e-7")
EPOCHS = "train.epochs 30 → 1"


@pytest.fixture
def collapsed(alcli, colours):
    """A third cycle whose model has learned nothing; what the run printed."""
    label(colours.parent, LAST + 1, SWAPPED)
    code, out, err = alcli("cycle", "-w", colours, *BAD, "--metrics-file", colours.parent / "alcli.prom")
    assert code == 3, err
    return out, err


def test_the_earlier_model_ranks_and_everybody_is_told_why(alcli, colours, collapsed):
    out, err = collapsed
    assert "The model of cycle 3 is far below that of cycle 2 (top-1 accuracy" in err
    assert EPOCHS in err and "train.accept_worse=true" in err
    assert "model of cycle 2" in out
    wide = (colours / "cycles/0003/priorities.wide.csv").read_text()
    assert "resnet18@cycle2" in wide and "@cycle3" not in wide

    status = json.loads(alcli("status", "-w", colours, "--json")[1])
    assert (status["collapse"]["cycle"], status["collapse"]["kept"]) == (3, 2)
    assert EPOCHS in status["collapse"]["differences"]
    assert "▲ The model of cycle 3 is far below" in alcli("status", "-w", colours)[1]

    code, out, _ = alcli("health", "-w", colours, "--json")
    assert (code, json.loads(out)["healthy"]) == (3, False)
    assert "far below that of cycle 2" in alcli("health", "-w", colours)[1]

    assert "alcli_model_collapsed 1" in (colours.parent / "alcli.prom").read_text()
    metrics = json.loads((colours / "cycles/0003/metrics.json").read_text())
    assert metrics["collapse"]["kept_cycle"] == 2
    assert metrics["metrics"]["top1"] < 0.8


def test_its_point_is_outside_the_forecast(alcli, colours, collapsed):
    from alcli.curves.history import apart, curve, history
    from alcli.workspace import Workspace

    workspace = Workspace.open(colours, read_only=True)
    cycles = history(workspace)
    workspace.close()
    assert [cycle.number for cycle in curve(cycles)] == [1, 2]
    assert [cycle.number for cycle in apart(cycles)] == [3]
    assert "1 cycle with other settings does not count." in alcli("forecast", "-w", colours)[1]


def test_the_next_training_goes_on_from_the_model_that_ranked(alcli, colours, collapsed):
    label(colours.parent, LAST + 2, SWAPPED)
    code, out, err = alcli("cycle", "-w", colours, "--json")
    assert code == 0, err
    steps = json.loads(out)["steps"]
    assert steps["train"]["started_from"] == "cycle 2"
    assert "collapse" not in steps["score"]
    assert alcli("health", "-w", colours)[0] == 0


def test_whoever_accepts_the_worse_model_gets_its_list(alcli, colours, collapsed):
    code, out, err = alcli("cycle", "-w", colours, *BAD, "--accept-worse", "--json")
    assert code == 0, err
    steps = json.loads(out)["steps"]
    assert (steps["train"]["reused_from"], steps["score"]["model_cycle"]) == (3, 4)
    assert "collapse" not in steps["score"]
    assert alcli("health", "-w", colours)[0] == 0
    assert json.loads(alcli("status", "-w", colours, "--json")[1])["collapse"] is None


def test_a_model_with_the_same_settings_is_held_back_as_well(alcli, colours, collapsed):
    """A second night with the same bad settings compares with the model that ranked, not with the collapsed one."""
    label(colours.parent, LAST + 2, SWAPPED)
    code, out, _ = alcli("cycle", "-w", colours, *BAD, "--json")
    assert code == 3
    assert json.loads(out)["steps"]["score"]["collapse"]["kept"] == 2
