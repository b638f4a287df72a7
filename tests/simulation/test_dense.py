"""Frozen simulations of detection, segmentation and pose, on small pictures and a trunk with random weights."""

from __future__ import annotations

import json
import os
import shutil
import time

import numpy as np
import pytest
import torch

from alcli import plugins
from alcli.annotations import Annotation, Keypoint, Polygon, Pose
from alcli.config import CacheOptions, Config, ModelOptions
from alcli.errors import DataError
from alcli.images import inspect
from alcli.items import Item
from alcli.simulation import dense_head, dense_maps
from alcli.simulation.dense_head import DenseLearner
from alcli.simulation.frozen import FrozenEngine
from alcli.simulation.labels import Labels
from alcli.simulation.map_files import MapWriter
from alcli.simulation.plan import Arm, Plan
from alcli.simulation.runs import Job
from alcli.system.progress import Silent
from alcli.tasks import Example
from tests.support.scenes import scene
from tests.support.trunks import write_trunk

CLASSES = {
    "detection": ("red", "green", "blue"),
    "segmentation": ("background", "red", "green", "blue"),
    "pose": ("top", "bottom"),
}
POOL, TEST = 24, 12


def corners(box):
    return (box.x1, box.y1, box.x2, box.y1, box.x2, box.y2, box.x1, box.y2)


def annotation(task, name, picture, boxes):
    if task == "detection":
        return Annotation(name, tuple(boxes), picture.size)
    if task == "segmentation":
        return Annotation(name, (), picture.size, polygons=tuple(Polygon(box.label, (corners(box),)) for box in boxes))
    joints = [(Keypoint("top", box.x1, box.y1), Keypoint("bottom", box.x2, box.y2)) for box in boxes]
    people = tuple(Pose("person", pair, box) for pair, box in zip(joints, boxes, strict=True))
    return Annotation(name, (), picture.size, poses=people)


@pytest.fixture(scope="module", params=["detection", "segmentation", "pose"])
def learner(request, tmp_path_factory):
    """A learner over 24 images to choose from and 12 to test on."""
    root = tmp_path_factory.mktemp(request.param)
    write_trunk(root / "weights.safetensors")
    kind = plugins.load("tasks", request.param)
    options = getattr(kind, "Options", None) or type(Config().task)
    model = ModelOptions(weights=str(root / "weights.safetensors"), input_size=64)
    config = Config(task=options(name=request.param), model=model)
    task = kind(config.task, model, CLASSES[request.param])
    examples = []
    for number in range(POOL + TEST):
        picture, boxes = scene(number)
        name = f"{number:02}.png"
        picture.save(root / name)
        item = Item(name, name, str(number))
        answer = annotation(request.param, name, picture, boxes)
        examples.append(task.encode(item, root / name, inspect(root / name), answer))
    config = config.model_copy(update={"score": config.score.model_copy(update={"workers": 0, "precision": "float32"})})
    labels = Labels(examples[:POOL], examples[POOL:], CLASSES[request.param], task.unit)
    return DenseLearner(config, labels, dense_maps.extract(config, labels, root, Silent()))


def names(learner):
    return [example.item.id for example in learner.labels.pool]


def test_memorized_maps_are_those_of_the_network(learner):
    from alcli.artifacts.trained import starting_model

    task, model, _ = starting_model(learner.config, learner.labels.classes)
    example = learner.labels.pool[3]
    plain = Example(example.item, example.path, None, example.size)
    image, _, size = task.load(plain, "none")
    images = image if image.dim() == 4 else image[None]
    batch = dense_maps.Batch([plain], images, [{}], [size])
    with torch.inference_mode():
        expected = task.trunk_maps(model.eval(), batch)
    memorized = learner.maps.rows([example.item.id], dense_maps.POOL)
    assert [part.shape for part in memorized] == [part.shape for part in expected]
    for part, other in zip(memorized, expected, strict=True):
        assert part == pytest.approx(other, abs=2e-3 * float(other.abs().max()))


def test_a_mirrored_image_has_mirrored_targets(learner):
    task, example = learner.task, learner.labels.pool[0]
    plain, mirror = (
        learner.maps.batch([example], view, task.input_shape).targets[0]
        for view in (dense_maps.PLAIN, dense_maps.MIRROR)
    )
    width = task.input_shape[1]
    if "boxes" in plain:
        assert mirror["boxes"][:, [2, 0]] == pytest.approx(width - plain["boxes"][:, [0, 2]])
    elif "mask" in plain:
        assert torch.equal(mirror["mask"], plain["mask"].flip(2))
    else:
        assert mirror["joints"][..., 0] == pytest.approx(width - plain["joints"][..., 0], abs=1.01)


def test_every_signal_has_a_row_for_each_item(learner, monkeypatch):
    monkeypatch.setattr(dense_head, "FEWEST_UPDATES", 12)
    needs = learner.task.signal_names
    first = learner.learn(names(learner)[:6], needs, 0, None)
    model = learner.learn(names(learner)[:10], needs, 0, first)
    signals = model.signals(names(learner)[10:], needs)
    assert signals.keys() == needs
    assert all(len(values) == POOL - 10 and np.isfinite(values).all() for values in signals.values())
    assert signals["output_discrepancy"].max() > 0
    assert len(set(signals["predicted_loss"].tolist())) > 1
    assert first.previous is None
    alone = model.signals(names(learner)[12:13], frozenset({"margin", "class_scores"}))
    assert alone["margin"][0] == pytest.approx(signals["margin"][2], abs=1e-5)


def test_runs_start_equal_repeat_exactly_and_ask_for_the_budget(learner, tmp_path, monkeypatch):
    monkeypatch.setattr(dense_head, "FEWEST_UPDATES", 12)
    engine = FrozenEngine(learner.config, learner.labels, learner)
    plan = Plan(4, 4, 2, True)
    runs = {arm: list(engine.turns(Job(tmp_path, Arm(arm), 1, plan), ())) for arm in ("random", "auto")}
    assert runs["auto"][0].metrics == runs["random"][0].metrics
    assert [point.labels for point in runs["auto"]] == [4, 8, 12]
    asked = [name for point in runs["auto"] for name in point.asked]
    assert len(set(asked)) == 8 and set(asked) <= set(names(learner))
    assert list(engine.turns(Job(tmp_path, Arm("auto"), 1, plan), ())) == runs["auto"]
    costs = learner.labels.costs
    assert runs["auto"][1].cost - runs["auto"][0].cost == sum(costs[name] for name in runs["auto"][0].asked)


def test_the_head_learns_what_it_was_shown(learner, monkeypatch):
    monkeypatch.setattr(dense_head, "FEWEST_UPDATES", 120)
    monkeypatch.setattr(
        learner, "labels", Labels(learner.labels.pool, learner.labels.pool[:12], learner.labels.classes, "x")
    )
    model = learner.learn(names(learner)[:12], frozenset(), 0, None)
    metric = {"detection": "ap50", "segmentation": "miou", "pose": "pck"}[learner.config.task.name]
    untrained = dense_head.DenseModel(learner, learner.task.frozen_head(learner.maps.shapes).eval())
    assert model.metrics()[metric] > untrained.metrics()[metric] + 0.2


def files(maps):
    return {path.name: path.read_bytes() for path in maps.folder.iterdir()}


def extract_again(learner, monkeypatch, **options):
    """The maps of the same cache once more, and how many passes over the images that took."""
    passes = []
    compute = dense_maps._compute
    monkeypatch.setattr(dense_maps, "_compute", lambda *given: passes.append(1) or compute(*given))
    config = learner.config.model_copy(update={"cache": CacheOptions(**options)})
    maps = dense_maps.extract(config, learner.labels, learner.maps.folder.parents[1], Silent())
    return maps, len(passes)


def test_the_maps_are_computed_once(learner, monkeypatch):
    maps, passes = extract_again(learner, monkeypatch)
    assert (maps.folder, passes) == (learner.maps.folder, 0)


@pytest.mark.parametrize("file", ["index", "map0"])
def test_maps_with_a_flipped_bit_or_without_a_file_are_computed_again(learner, monkeypatch, file):
    written, path = files(learner.maps), learner.maps.folder / file
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    path.write_bytes(damaged)
    maps, passes = extract_again(learner, monkeypatch)
    assert (files(maps), passes) == (written, 1)
    path.unlink()
    maps, passes = extract_again(learner, monkeypatch)
    assert (files(maps), passes) == (written, 1)


def test_maps_push_out_what_was_used_least_recently(learner, monkeypatch):
    others = learner.maps.folder.parent / "another-network"
    others.mkdir()
    for name, age in (("old", 100), ("young", 1)):
        (others / name).write_bytes(bytes(1000))
        os.utime(others / name, (time.time() - age,) * 2)
    size = sum(map(len, files(learner.maps).values()))
    extract_again(learner, monkeypatch, max_gb=10 * (size + 1500) / 1e9)
    assert [path.name for path in others.iterdir()] == ["young"]
    shutil.rmtree(others)


def test_maps_that_will_not_fit_are_refused_at_once(learner, monkeypatch):
    written, rows = files(learner.maps), []
    (learner.maps.folder / "index").unlink()
    append = MapWriter.append
    monkeypatch.setattr(MapWriter, "append", lambda self, maps: rows.append(len(maps[0])) or append(self, maps))
    size = sum(len(content) for name, content in written.items() if name != "index")
    said = r"features of 36 images take \S+ GB, and a tenth of cache\.max_gb"
    with monkeypatch.context() as small, pytest.raises(DataError, match=said) as refusal:
        small.setattr(dense_maps, "BATCH", 4)
        extract_again(learner, small, max_gb=5 * size / 1e9)
    assert "cache.max_gb=1." in refusal.value.do
    assert len(rows) == 1
    assert files(learner.maps) == {name: content for name, content in written.items() if name != "index"}
    extract_again(learner, monkeypatch)
    assert files(learner.maps) == written


def test_a_run_whose_maps_have_gone_says_so(learner):
    maps = dense_maps.DenseMaps(learner.maps.folder)
    moved = learner.maps.folder / "map0"
    content = moved.read_bytes()
    moved.unlink()
    with pytest.raises(DataError, match="needed the room"):
        _ = maps.shapes
    moved.write_bytes(content)


def test_detection_on_the_command_line(photos, tmp_path, alcli, monkeypatch):
    monkeypatch.setattr(dense_head, "FEWEST_UPDATES", 12)
    write_trunk(tmp_path / "weights.safetensors")
    project = photos.draw(30, 30)
    options = ["--images", project.images, "--annotations", project.annotations, "--task", "detection"]
    options += ["--weights", tmp_path / "weights.safetensors", "--set", "model.input_size=64"]
    code, _, err = alcli(
        "init", tmp_path / "S", *options, "--set", "score.workers=0", "--set", f"platform.queue={tmp_path}/q.csv"
    )
    assert code == 0, err
    sizes = ["--seeds", 2, "--start", 5, "--budget", 5, "--cycles", 1, "--test", "0.5", "--jobs", 1]
    command = ["simulate", "-w", tmp_path / "S", "--frozen", *sizes, "--strategies", "facility-location", "--json"]
    code, out, err = alcli(*command)
    assert code == 0, err
    document = json.loads(out)
    assert document["metric"] == "map" and document["unit"] == "boxes"
    assert [arm["arm"] for arm in document["arms"]] == ["random", "facility-location"]
    code, again, err = alcli(*command)
    assert code == 0 and json.loads(again)["points"] == document["points"]


def test_all_strategies_of_a_seed_share_its_first_head(learner, monkeypatch):
    trainings = []
    train = DenseLearner._train
    monkeypatch.setattr(
        DenseLearner, "_train", lambda self, examples, seed: trainings.append(seed) or train(self, examples, seed)
    )
    first = learner.learn(names(learner)[:8], frozenset(), 5, None)
    second = learner.learn(names(learner)[:8], frozenset({"margin"}), 5, None)
    assert trainings == [5]
    assert second.metrics() == first.metrics()
    learner.learn(names(learner)[:8], frozenset(), 6, None)
    learner.learn(names(learner)[:9], frozenset(), 6, None)
    learner.learn(names(learner)[:9], frozenset(), 6, first)
    assert trainings == [5, 6, 6, 6]
