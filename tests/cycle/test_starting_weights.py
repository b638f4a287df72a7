"""``model.weights = auto``: settled once, recorded, and never changed in silence."""

from __future__ import annotations

import json

import pytest

from alcli.artifacts import starting_weights
from alcli.workspace import Workspace
from alcli.workspace.records import StartingWeights, Training


@pytest.fixture
def network(monkeypatch):
    """A list of reasons why the next download fails; empty: it works. Counts the attempts."""
    attempts, reasons = [], ["there is no network"]

    def obtain(name: str) -> str:
        attempts.append(name)
        return reasons[0] if reasons else ""

    monkeypatch.setattr(starting_weights, "obtain", obtain)
    return attempts, reasons


def started_from(root, cycle: int) -> str:
    workspace = Workspace.open(root, read_only=True)
    try:
        return workspace.step(cycle, Training).summary.started_from
    finally:
        workspace.close()


def test_an_untrained_start_says_why_and_what_it_costs_once(alcli, workspace, photos, network):
    flags = ("--set", "model.name=ssd-mobilenet-v2")
    code, _, err = alcli("cycle", "-w", workspace, *flags)
    assert code == 0, err
    line = next(line for line in err.splitlines() if "untrained" in line)
    assert line == (
        "Starting from untrained weights: there is no network. That is usually 10 to 20 points of AP50 less. "
        "Once online: --set model.weights=imagenet, or name a safetensors file."
    )
    assert network[0] == ["mobilenet_v2-b0353104.pth"]
    assert started_from(workspace, 1) == "none"


def test_a_network_that_comes_back_changes_nothing(alcli, workspace, photos, network):
    flags = ("--set", "model.name=ssd-mobilenet-v2", "--set", "train.init=scratch")
    assert alcli("cycle", "-w", workspace, *flags)[0] == 0
    network[1].clear()
    photos.annotate(9)
    code, _, err = alcli("cycle", "-w", workspace, *flags)
    assert code == 0 and "untrained" not in err
    assert (started_from(workspace, 2), len(network[0])) == ("none", 1)
    assert alcli("cycle", "-w", workspace, *flags)[1].startswith("Nothing new")


def test_what_was_settled_is_asked_for_by_name(alcli, workspace, network, monkeypatch):
    """With a network ImageNet is chosen; the record is per network, and another one is settled anew."""
    network[1].clear()
    opened = Workspace.open(workspace)
    try:
        from alcli.context import Context
        from alcli.system.progress import Silent

        for name, weights in (("ssd-mobilenet-v2", "imagenet"), ("ssd-tiny", "none"), ("ssd-mobilenet-v2", "imagenet")):
            context = Context(opened, opened.configuration([f"model.name={name}"]), Silent())
            assert starting_weights.settle_weights(context).config.model.weights == weights
        assert opened.step(0, StartingWeights).summary.chosen == {
            "detection/ssd-mobilenet-v2": "imagenet", "detection/ssd-tiny": "none"}  # fmt: skip
        assert len(network[0]) == 1
        given = Context(opened, opened.configuration(["model.weights=none"]), Silent())
        assert starting_weights.settle_weights(given) is given
    finally:
        opened.close()


def test_a_workspace_from_before_keeps_what_it_started_from(alcli, workspace, photos, network):
    flags = ("--set", "model.name=ssd-mobilenet-v2", "--set", "train.init=scratch")
    assert alcli("cycle", "-w", workspace, *flags, "--set", "model.weights=none")[0] == 0
    network[1].clear()
    photos.annotate(9)
    assert alcli("cycle", "-w", workspace, *flags)[0] == 0
    assert (started_from(workspace, 2), network[0]) == ("none", [])


def test_doctor_warns_of_untrained_weights(alcli, workspace):
    code, out, _ = alcli("doctor", "-w", workspace, "--json")
    checks = {check["check"]: check for check in json.loads(out)["checks"]}
    assert code == 0
    assert (checks["model"]["ok"], checks["model"]["level"]) == (True, "warn")
    assert checks["model"]["found"] == "ssd-tiny, untrained weights: usually 10 to 20 points of AP50 less"
    assert checks["platform"]["level"] == "ok"


def test_a_cold_start_settles_the_weights_too(alcli, photos, tmp_path, network):
    (tmp_path / "empty").mkdir()
    root = tmp_path / "W"
    flags = ("--set", "score.workers=0", "--set", "model.input_size=64")
    assert alcli("init", root, "--images", photos.images, "--annotations", tmp_path / "empty", *flags)[0] == 0
    code, out, _ = alcli("cycle", "-w", root, "--json")
    assert code == 0
    assert json.loads(out)["steps"]["score"]["strategy"] == "random"
    assert len(network[0]) == 1
