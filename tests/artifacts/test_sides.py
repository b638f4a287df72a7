"""Near-duplicates, and frames of one video, are on one side of the held-out line, and stay there."""

from __future__ import annotations

import sqlite3

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from safetensors.torch import save_file

from alcli.artifacts.examples import prepare_examples
from alcli.context import Context
from alcli.system.progress import Silent
from alcli.workspace import Workspace, store

BEFORE_SIDES = 3
SCENES = 12


class Told(Silent):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)

    detail = say


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A file of weights with measured batch norms: to alcli, a network that somebody has trained."""
    torch.manual_seed(0)
    network = torchvision.models.mobilenet_v3_small()
    for layer in network.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.momentum = 1.0
    with torch.no_grad():
        network.train()(torch.nn.functional.interpolate(torch.rand(32, 3, 4, 4) * 4 - 2, 64))
    path = tmp_path_factory.mktemp("weights") / "w.safetensors"
    save_file(network.state_dict(), path)
    return path


class Frames:
    """Scenes of coarse random color blocks, each in frames that differ a little in a few pixels."""

    def __init__(self, root) -> None:
        self.root = root
        (root / "images").mkdir(parents=True)
        self.labels = ["name,label"]

    def add(self, scene: int, frame: int) -> None:
        blocks = np.random.default_rng(scene).integers(0, 255, (4, 4, 3), dtype=np.uint8)
        pixels = blocks.repeat(16, axis=0).repeat(16, axis=1)
        pixels[frame, :8] ^= 8
        name = f"s{scene:02}_{frame}.png"
        Image.fromarray(pixels).save(self.root / "images" / name)
        self.labels.append(f"{name},{'ab'[scene % 2]}")
        (self.root / "labels.csv").write_text("\n".join([*self.labels, ""]))


@pytest.fixture
def frames(tmp_path):
    """Two frames each of twelve scenes."""
    project = Frames(tmp_path / "project")
    for scene in range(SCENES):
        for frame in (0, 3):
            project.add(scene, frame)
    return project


@pytest.fixture
def root(alcli, frames, weights, tmp_path):
    code, _, err = alcli(
        "init", tmp_path / "W", "--task", "classification", "--images", frames.root / "images", "--annotations",
        frames.root / "labels.csv", "--weights", weights, "--set", "model.input_size=64",
        "--set", "train.workers=0", "--set", "score.workers=0", "--set", "train.epochs=1",
    )  # fmt: skip
    assert code == 0, err
    assert alcli("pull", "-w", tmp_path / "W")[0] == 0
    return tmp_path / "W"


def sides(root, *settings: str, told: Told | None = None) -> dict[str, bool]:
    """Name → whether it is held out, as a training would split now."""
    workspace = Workspace.open(root)
    with workspace.lock():
        config = workspace.configuration(["train.validation=0.5", *settings])
        examples = prepare_examples(Context(workspace, config, told or Silent()))
    workspace.close()
    held_out = {example.item.name: True for example in examples.held_out}
    return {example.item.name: False for example in examples.training} | held_out


def torn(found: dict[str, bool]) -> int:
    """Number of scenes on both sides."""
    scenes = {name.partition("_")[0] for name in found}
    return sum(len({side for name, side in found.items() if name.startswith(f"{s}_")}) > 1 for s in scenes)


def test_near_duplicates_are_on_one_side(root):
    found = sides(root)
    assert len(found) == 2 * SCENES
    assert torn(found) == 0
    assert 0 < sum(found.values()) < len(found)


def test_without_groups_the_pixels_of_each_image_decide(root):
    assert torn(sides(root, "train.group_distance=0")) > 2


def test_what_is_recorded_stays_whatever_the_settings_say_later(root):
    before = sides(root, "train.group_distance=0")
    assert sides(root) == before == sides(root, "train.group_names=numbered")


def test_a_later_frame_joins_its_scene_whatever_it_hashes_to(alcli, root, frames):
    before = sides(root)
    for scene in range(SCENES):
        frames.add(scene, 7)
    frames.add(SCENES, 0)
    assert alcli("pull", "-w", root)[0] == 0
    (path,) = (root / "cache").glob("features/*/*")
    path.write_bytes(b"lost")  # what the cache has lost is computed again
    found = sides(root)
    assert len(found) == 3 * SCENES + 1
    assert torn(found) == 0
    assert {name: found[name] for name in before} == before


def test_an_unlabeled_image_between_two_labeled_ones_connects_them(alcli, root, frames, monkeypatch):
    """Frames 0 and 3 of a scene are near, and frames 3 and 7; 0 and 7 are not."""

    def turned(context, nodes, classes):
        numbers = [example.item.name[1:-4].split("_") for example in nodes.examples]
        angles = np.radians([30 * int(scene) + int(frame) for scene, frame in numbers])
        return np.stack([np.cos(angles), np.sin(angles)], axis=1)

    monkeypatch.setattr("alcli.artifacts.sides._embeddings", turned)
    for scene in range(SCENES):
        frames.add(scene, 7)
    lines = list(frames.labels)
    ends_only = [line for line in lines if "_3.png" not in line]
    (frames.root / "labels.csv").write_text("\n".join([*ends_only, ""]))
    assert alcli("pull", "-w", root, "--accept-shrink")[0] == 0
    distance = "train.group_distance=0.005"  # 4 degrees are 0.0024, 7 degrees 0.0075
    before = sides(root, distance)
    assert len(before) == 2 * SCENES
    assert torn(before) == 0
    (frames.root / "labels.csv").write_text("\n".join([*lines, ""]))
    assert alcli("pull", "-w", root)[0] == 0
    found = sides(root, distance)
    assert len(found) == 3 * SCENES
    assert torn(found) == 0
    assert {name: found[name] for name in before} == before


def test_random_weights_say_that_only_copies_and_names_count(root):
    told = Told()
    assert torn(sides(root, "model.weights=none", told=told)) > 2
    assert any("random, so near-duplicates cannot be recognized" in line for line in told.lines)


def test_frames_of_one_video_are_known_by_their_names(root):
    found = sides(root, "model.weights=none", "train.group_names=numbered")
    assert torn(found) == 0
    assert 0 < sum(found.values()) < len(found)


def test_names_that_would_put_everything_on_one_side_are_not_used(root):
    told = Told()
    found = sides(root, "model.weights=none", "train.group_names=folder", told=told)
    assert 0 < sum(found.values()) < len(found)
    assert any("more than half of the labeled images" in line for line in told.lines)


def test_equal_features_are_said_and_group_nothing(root, frames, weights, tmp_path):
    state = torchvision.models.mobilenet_v3_small().state_dict()
    save_file({name: torch.zeros_like(value) for name, value in state.items()}, tmp_path / "zero.safetensors")
    told = Told()
    found = sides(root, f"model.weights={tmp_path / 'zero.safetensors'}", told=told)
    assert 0 < sum(found.values()) < len(found)
    assert any("The features of all images are equal" in line for line in told.lines)


def test_images_of_an_earlier_alcli_keep_their_sides_and_new_ones_join_them(alcli, root, frames):
    assert alcli("cycle", "-w", root, "--set", "train.group_distance=0")[0] in (0, 3)
    before = sides(root, "train.group_distance=0")
    with sqlite3.connect(root / "alcli.db") as database:
        database.execute("DROP TABLE sides")
        database.execute(f"PRAGMA user_version = {BEFORE_SIDES}")
    assert store.newest_version() > BEFORE_SIDES
    frames.add(0, 7)
    assert alcli("pull", "-w", root)[0] == 0
    found = sides(root)
    assert {name: found[name] for name in before} == before
    assert found["s00_7.png"] in {before["s00_0.png"], before["s00_3.png"]}


def test_a_workspace_that_has_never_trained_groups_everything_after_the_upgrade(root):
    with sqlite3.connect(root / "alcli.db") as database:
        database.execute("DROP TABLE sides")
        database.execute(f"PRAGMA user_version = {BEFORE_SIDES}")
    assert torn(sides(root)) == 0


def test_a_share_of_zero_records_nothing(root):
    sides(root, "train.validation=0")
    assert torn(sides(root)) == 0
