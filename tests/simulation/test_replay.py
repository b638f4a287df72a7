"""Which settings make a simulation another one: those that its runs read."""

from __future__ import annotations

import pytest

from alcli import config
from alcli.context import Context
from alcli.simulation.plan import arms_of
from alcli.simulation.replay import Request, plan
from alcli.simulation.trained import relevant_settings
from alcli.system.progress import Silent
from alcli.workspace import Workspace
from tests.support.scenes import Photos

READ = (
    "selection.min_distance=0.01",
    "selection.per_group=2",
    "train.epochs=7",
    "train.min_steps=100",
    "train.trunk_rate=0.5",
    "train.still_norms=never",
    "train.ema=0",
    "train.margin=0.5",
    "train.init=scratch",
    "train.validation=0.4",
    "task.aggregate=max",
    "task.dropout=0.3",
    "task.box_weights=boxes",
    "model.input_size=128",
    "score.precision=float32",
    "score.batch_size=3",
    "strategy.random_share=0.2",
)
UNREAD = (
    "report.target=0.9",
    "report.enabled=true",
    "report.confidence=0.7",
    "cost.seconds_per_item=3",
    "platform.prelabel_score=0.9",
    "platform.images=elsewhere",
    "train.workers=3",
    "train.checkpoint_every=0",
    "train.seed=5",
    "score.workers=3",
    "selection.budget=7",
    "selection.seed=5",
    "selection.recheck_share=0.2",
    "strategy.name=margin",
)


def settings(folder, *overrides, frozen=False):
    return relevant_settings(config.load(folder, overrides, {}), frozen)


@pytest.mark.parametrize("override", READ)
def test_what_a_run_reads_makes_another_simulation(tmp_path, override):
    assert settings(tmp_path, override) != settings(tmp_path)


@pytest.mark.parametrize("override", UNREAD)
def test_what_no_run_reads_does_not(tmp_path, override):
    assert settings(tmp_path, override) == settings(tmp_path)
    assert settings(tmp_path, override, frozen=True) == settings(tmp_path, frozen=True)


def test_options_of_the_task_count_however_they_are_written(tmp_path):
    pose = ("task.name=pose",)
    assert settings(tmp_path, *pose, "task.sigmas={nose=0.1}") != settings(tmp_path, *pose)
    assert settings(tmp_path, *pose, "task.subject=person") == settings(tmp_path, *pose)
    pixels = ("task.name=segmentation",)
    assert settings(tmp_path, *pixels, "task.class_weights=none") != settings(tmp_path, *pixels)


@pytest.mark.parametrize("override", ["train.epochs=7", "train.batch_size=3", "score.batch_size=3"])
def test_frozen_features_are_not_trained(tmp_path, override):
    assert settings(tmp_path, override, frozen=True) == settings(tmp_path, frozen=True)


@pytest.mark.parametrize("override", ["train.margin=0.5", "task.dropout=0.3", "score.precision=float32"])
def test_what_frozen_runs_read_counts(tmp_path, override):
    assert settings(tmp_path, override, frozen=True) != settings(tmp_path, frozen=True)


def test_weights_from_a_file_are_their_content(tmp_path):
    for name, content in (("a", b"1"), ("b", b"1"), ("c", b"2")):
        (tmp_path / name).write_bytes(content)
    one, same, other = (settings(tmp_path, f"model.weights={name}") for name in "abc")
    assert one == same != other


def test_the_folder_of_a_simulation_follows_from_what_its_runs_read(tmp_path, alcli):
    photos = Photos(tmp_path / "project").draw(30, annotated=30)
    places = ("--images", photos.images, "--annotations", photos.annotations, "--model", "ssd-tiny")
    assert alcli("init", tmp_path / "W", *places, "--set", "model.input_size=64")[0] == 0
    assert alcli("pull", "-w", tmp_path / "W")[0] == 0
    workspace = Workspace.open(tmp_path / "W")
    request = Request(arms_of(["entropy"]), seeds=1, cycles=1, start=2, budget=2, test="0.6")

    def folder(*overrides):
        return plan(Context(workspace, workspace.configuration(overrides), Silent()), request).folder.name

    assert folder() == "0001"
    assert folder("report.target=0.5", "selection.budget=9", "train.workers=0", "cost.seconds_per_item=2") == "0001"
    assert folder("selection.min_distance=0.01") == "0002"
    assert folder("selection.per_group=1") == "0003"
    assert folder("strategy.name=margin") == "0001"
    workspace.close()
