"""Features of a frozen network: each image is looked at once, unless it, or the network, is another one."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from alcli import images, plugins
from alcli.artifacts import feature_cache, frozen_features
from alcli.config import CacheOptions, Config, ModelOptions, ScoreOptions, TaskOptions
from alcli.items import Item, path_to_uri
from alcli.models.uncertainty import SIGNALS
from alcli.simulation.features import extract
from alcli.system.arrays import read_arrays
from alcli.system.hashing import sha256_of
from alcli.system.progress import Silent
from alcli.tasks import Example
from alcli.tasks.classification import Classification
from tests.support.trunks import write_trunk

COUNT, SHARD = 8, 3
PARTS = 3
POOL, LABELED = 40, 30
NETWORK = "mobilenet_v3_small"
SIMULATION = ("--frozen", "--seeds", 1, "--cycles", 1, "--jobs", 1, "--test", "0.5", "--strategies", "core-set")
DAMAGED = "Kept features were damaged: they are computed again."
FULL = "The cache of features is full (a tenth of cache.max_gb): the least recently used go."


class Lines(Silent):
    def __init__(self):
        self.said = []

    def say(self, text):
        self.said.append(text)


def paint(path, number):
    noise = np.random.default_rng(number).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)


class Project:
    """Some images, and the features of a network over them."""

    def __init__(self, root):
        self.root, self.cache = root, root / "cache"
        self.decoded = []
        self.hashed = []
        for number in range(COUNT):
            paint(self.path(number), number)
        for seed in range(2):
            write_trunk(root / f"trunk{seed}.safetensors", NETWORK, seed)

    def path(self, number):
        return self.root / f"{number}.png"

    def examples(self):
        paths = [self.path(number) for number in range(COUNT)]
        return [Example(Item(path.name, path.name, path_to_uri(path)), path) for path in paths]

    def extract(self, seed=0, max_gb=50.0, cache=None, lines=None):
        self.decoded.clear()
        self.hashed.clear()
        config = Config(
            task=Classification.Options(name="classification"),
            model=ModelOptions(
                name="mobilenet-v3-small", weights=str(self.root / f"trunk{seed}.safetensors"), input_size=64
            ),
            score=ScoreOptions(backend="torch", precision="float32", workers=0, shard=SHARD, batch_size=2),
            cache=CacheOptions(max_gb=max_gb),
        )
        return extract(config, self.examples(), cache or self.cache, lines or Silent())

    @property
    def parts(self):
        return sorted(self.cache.glob("features/*/*"))


@pytest.fixture
def project(tmp_path, monkeypatch):
    made = Project(tmp_path)
    load, sha256_of = images.load, feature_cache.sha256_of

    def spy(path, *arguments, **options):
        made.decoded.append(path.name)
        return load(path, *arguments, **options)

    def spy_hash(path):
        made.hashed.append(path.name)
        return sha256_of(path)

    monkeypatch.setattr(images, "load", spy)
    monkeypatch.setattr(feature_cache, "sha256_of", spy_hash)
    return made


def equal(one, other):
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in ("deep", "stages", "embedding"))


def nearly_equal(one, other):
    """In another batch the last digit may be another one."""
    pairs = ((getattr(one, name), getattr(other, name)) for name in ("deep", "stages", "embedding"))
    return all(np.allclose(ours, theirs, atol=2e-3 * float(np.abs(ours).max())) for ours, theirs in pairs)


def test_the_second_time_no_image_is_read(project):
    first = project.extract()
    assert sorted(project.decoded) == [f"{number}.png" for number in range(COUNT)]
    assert len(project.parts) == PARTS
    assert equal(first, project.extract())
    assert project.decoded == project.hashed == []


def test_only_a_changed_image_is_looked_at_again(project):
    first = project.extract()
    paint(project.path(4), 99)
    second = project.extract()
    assert project.decoded == ["4.png"]
    assert np.flatnonzero((first.deep != second.deep).any(axis=1)).tolist() == [4]
    assert nearly_equal(second, project.extract(cache=project.root / "fresh"))


def test_an_image_that_was_touched_or_renamed_is_not_decoded_again(project):
    first = project.extract()
    os.utime(project.path(2), (1000, 1000))
    contents = [project.path(number).read_bytes() for number in (5, 6)]
    project.path(5).write_bytes(contents[1])
    project.path(6).write_bytes(contents[0])
    second = project.extract()
    assert project.decoded == [] and set(project.hashed) == {"2.png", "5.png", "6.png"}
    swapped = [0, 1, 2, 3, 4, 6, 5, 7]
    assert np.array_equal(second.deep, first.deep[swapped])


def test_other_weights_look_at_all_images_and_the_first_ones_are_kept(project):
    first = project.extract()
    assert not np.array_equal(project.extract(seed=1).deep, first.deep)
    assert len(project.decoded) == COUNT
    assert equal(first, project.extract())
    assert project.decoded == []
    write_trunk(project.root / "trunk0.safetensors", NETWORK, 7)  # the same name
    project.extract()
    assert len(project.decoded) == COUNT


@pytest.mark.parametrize("harm", ["flipped", "cut", "empty", "text"])
def test_a_damaged_part_is_computed_again_and_said_once(project, harm):
    first, lines = project.extract(), Lines()
    for path in project.parts[:2]:
        content = path.read_bytes()
        changed = content[:-9] + bytes([content[-9] ^ 1]) + content[-8:]
        path.write_bytes({"flipped": changed, "cut": content[:-100], "empty": b"", "text": b"{}" * 50}[harm])
    assert equal(first, project.extract(lines=lines))
    assert lines.said == [DAMAGED]
    assert 2 <= len(project.decoded) < COUNT
    assert equal(first, project.extract(lines=lines))
    assert project.decoded == [] and lines.said == [DAMAGED]


KILLED = """
import os, signal, sys
from pathlib import Path
from alcli.artifacts import feature_cache
from tests.artifacts.test_frozen_features import Project
write, project, parts = feature_cache.write_arrays, Project.__new__(Project), []
project.root, project.cache, project.decoded, project.hashed = Path(sys.argv[1]), Path(sys.argv[1], "cache"), [], []
def write_some(path, content):
    if parts:
        (path.parent / ".alcli-tmp-half").write_bytes(b"half")
        os.kill(os.getpid(), signal.SIGKILL)
    parts.append(path)
    write(path, content)
feature_cache.write_arrays = write_some
project.extract()
"""


def test_a_killed_run_leaves_whole_parts_only(project):
    ended = subprocess.run([sys.executable, "-c", KILLED, str(project.root)], capture_output=True)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert len(project.parts) == 2, "a part and the start of another"
    project.extract()
    assert sorted(project.decoded) == [f"{number}.png" for number in range(SHARD, COUNT)]
    assert len(project.parts) == PARTS
    assert equal(project.extract(), project.extract(cache=project.root / "fresh"))


def test_the_least_recently_used_features_go_when_the_share_is_full(project):
    first, lines = project.extract(), Lines()
    size = max(path.stat().st_size for path in project.parts)
    room = 10 * (2 * size + 10) / 1e9
    assert equal(first, project.extract(seed=1, max_gb=room)) is False
    assert sum(path.stat().st_size for path in project.parts) <= 2 * size + 10
    assert equal(first, project.extract(max_gb=room, lines=lines))
    assert lines.said == [FULL]
    assert equal(first, project.extract(max_gb=10 * (size - 100) / 1e9)), "no room for a single part"


def test_an_image_that_is_replaced_while_it_is_read_is_not_kept(project, monkeypatch):
    load = images.load

    def load_and_replace(path, *arguments, **options):
        loaded = load(path, *arguments, **options)
        if path.name == "3.png":
            paint(path, 50)
        return loaded

    with monkeypatch.context() as patch:
        patch.setattr(images, "load", load_and_replace)
        project.extract()
    second = project.extract()
    assert project.decoded == ["3.png"]
    assert nearly_equal(second, project.extract(cache=project.root / "fresh"))


@pytest.fixture
def frozen(tmp_path, alcli, monkeypatch):
    """A workspace whose trunk is frozen, and the numbers of images that each pass over frozen features computed."""
    write_trunk(tmp_path / "trunk.safetensors", NETWORK)
    photos, labels = tmp_path / "photos", tmp_path / "labels.csv"
    photos.mkdir()
    for number in range(POOL):
        paint(photos / f"{number:02}.png", number)
    labels.write_text("name,label\n" + "".join(f"{number:02}.png,{'ab'[number % 2]}\n" for number in range(LABELED)))
    settings = ("train.epochs=1", "train.workers=0", "score.workers=0", "model.input_size=64", "train.batch_size=4",
                "train.freeze_backbone=true", "score.precision=float32")  # fmt: skip
    flags = [flag for setting in settings for flag in ("--set", setting)]
    project = ("--task", "classification", "--images", photos, "--annotations", labels)
    network = ("--model", "mobilenet-v3-small", "--weights", tmp_path / "trunk.safetensors")
    code, _, err = alcli("init", tmp_path / "W", *project, *network, *flags)
    assert code == 0, err
    counts = []
    batches = frozen_features.batches

    def spy(task, examples, *arguments, **options):
        counts.append(len(examples))
        return batches(task, examples, *arguments, **options)

    monkeypatch.setattr(frozen_features, "batches", spy)
    return tmp_path / "W", labels, counts


def test_cycles_and_simulations_look_at_each_image_once(frozen, alcli):
    workspace, labels, counts = frozen
    code, _, err = alcli("cycle", "-w", workspace)
    assert code == 0, err
    assert sum(counts) == POOL, "the pool, and the annotated images that the strategy reads"
    del counts[:]
    with labels.open("a") as stream:
        stream.write(f"{LABELED}.png,a\n{LABELED + 1}.png,b\n")
    assert alcli("cycle", "-w", workspace)[0] == 0
    assert counts == []
    code, _, err = alcli("simulate", "-w", workspace, *SIMULATION)
    assert code == 0, err
    assert counts == []


def test_a_simulation_shares_with_a_cold_start(frozen, alcli):
    workspace, labels, counts = frozen
    text = labels.read_text()
    labels.write_text("name,label\n")
    code, _, err = alcli("cycle", "-w", workspace, "--set", "train.allow_cold_start=true")
    assert code == 0, err
    assert counts == [POOL]
    labels.write_text(text)
    assert alcli("pull", "-w", workspace)[0] == 0
    code, _, err = alcli("simulate", "-w", workspace, *SIMULATION)
    assert code == 0, err
    assert counts == [POOL]


def test_signals_from_kept_features_are_those_of_the_pixels(frozen, alcli):
    from alcli.artifacts.predictor import load_predictor
    from alcli.context import Context
    from alcli.system.progress import ignore
    from alcli.workspace import Workspace
    from alcli.workspace.records import Training

    root, _, _ = frozen
    assert alcli("cycle", "-w", root)[0] == 0
    names = SIGNALS - {"output_discrepancy"}
    workspace = Workspace.open(root)
    with workspace.lock():
        items = list(workspace.store.pool().items.values())
        by_way = []
        for freeze in (False, True):
            config = workspace.configuration()
            train = config.train.model_copy(update={"freeze_backbone": freeze})
            context = Context(workspace, config.model_copy(update={"train": train}), Silent())
            predictor = load_predictor(context, workspace.newest(Training))
            examples = [Example(item, context.image(item)) for item in items]
            by_way.append(next(part for part, _ in predictor.signals(examples, names, ignore)))
    plain, kept = by_way
    assert plain.item_ids == kept.item_ids and plain.arrays.keys() == kept.arrays.keys()
    for name in names:
        assert plain[name].dtype == kept[name].dtype, name
        scale = float(np.abs(plain[name]).max()) + 1e-6
        assert kept[name].astype(np.float32) == pytest.approx(plain[name].astype(np.float32), abs=5e-3 * scale), name


def test_a_part_that_another_run_has_removed_is_computed_again_without_a_word(project, monkeypatch):
    first, lines = project.extract(), Lines()
    content_of = feature_cache.FeatureCache.content_of

    def content_and_gone(self, example):
        content = content_of(self, example)
        if example.item.id == "2.png":
            project.parts[0].unlink()
        return content

    monkeypatch.setattr(feature_cache.FeatureCache, "content_of", content_and_gone)
    assert nearly_equal(first, project.extract(lines=lines))
    assert lines.said == [] and len(project.decoded) == SHARD


@pytest.fixture
def detectors(tmp_path, photos, alcli):
    """A workspace over twenty photos and no annotation, whose detector starts from a file; the photos."""
    photos.draw(20, annotated=0)
    for path in photos.annotations.iterdir():
        path.unlink()
    write_trunk(tmp_path / "trunk.safetensors")
    settings = ("train.epochs=1", "train.workers=0", "score.workers=0", "model.input_size=64", "train.batch_size=4",
                "train.allow_cold_start=true", "score.precision=float32", "score.shard=8")  # fmt: skip
    flags = [flag for setting in settings for flag in ("--set", setting)]
    project = ("--task", "detection", "--images", photos.images, "--annotations", photos.annotations)
    code, _, err = alcli("init", tmp_path / "W", *project, "--weights", tmp_path / "trunk.safetensors", *flags)
    assert code == 0, err
    return tmp_path / "W", photos


def test_near_duplicates_are_searched_in_the_features_of_the_cold_start(detectors, alcli, monkeypatch):
    counts = []
    compute = frozen_features.FrozenFeatures._compute
    monkeypatch.setattr(
        frozen_features.FrozenFeatures,
        "_compute",
        lambda self, examples, advance: counts.append(len(examples)) or compute(self, examples, advance),
    )
    root, photos = detectors
    assert alcli("cycle", "-w", root)[0] == 0
    assert counts == [8, 8, 4]
    for number in range(12):
        photos.annotate(number)
    code, _, err = alcli("cycle", "-w", root)
    assert code == 0, err
    assert sum(counts) == 20


@pytest.mark.parametrize("settings", [("score.engine=shards", "score.processes=2"), ("score.backend=openvino",)])
def test_a_cold_start_ranks_alike_whoever_computes(detectors, alcli, settings):
    if "score.backend=openvino" in settings:
        pytest.importorskip("openvino")
    root, _ = detectors
    assert alcli("pull", "-w", root)[0] == alcli("train", "-w", root)[0] == 0
    shutil.copytree(root, root.with_name("other"))
    flags = [flag for setting in settings for flag in ("--set", setting)]
    assert alcli("score", "-w", root)[0] == 0
    code, _, err = alcli("score", "-w", root.with_name("other"), *flags)
    assert code == 0, err
    for name in ("other", "W"):
        assert len(list(root.with_name(name).glob("cache/features/*/*"))) == 3
    lists = [(root.with_name(name) / "cycles/0001/scores.csv").read_text().splitlines() for name in ("W", "other")]
    firsts = [[line.split(",")[1] for line in lines] for lines in lists]
    assert firsts[0] == firsts[1]


def test_kept_embeddings_are_those_of_a_plain_pass(detectors, alcli):
    from alcli.artifacts.trained import starting_model
    from alcli.engine import inference
    from alcli.workspace import Workspace

    root, photos = detectors
    assert alcli("cycle", "-w", root)[0] == 0
    workspace = Workspace.open(root, read_only=True)
    config = workspace.configuration()
    task, model, head = starting_model(config, ("thing",))
    items = workspace.store.pool().items
    workspace.close()
    examples = [Example(item, photos.images / item.name) for _, item in sorted(items.items())]
    parts = inference.signals(task, model, head, examples, frozenset({"embedding"}), config.score)
    plain = {item_id: row for part, _ in parts for item_id, row in zip(part.item_ids, part["embedding"], strict=True)}
    kept = {}
    for path in root.glob("cache/features/*/*"):
        content = read_arrays(path)
        kept |= dict(zip(content.notes["contents"], content.arrays["embedding"], strict=True))
    assert {sha256_of(example.path) for example in examples} == kept.keys()
    assert all(np.array_equal(kept[sha256_of(example.path)], plain[example.item.id]) for example in examples)


@pytest.mark.parametrize(
    ("task", "name", "read", "unread"),
    [
        ("classification", "mobilenet-v3-small", "trunk", "output"),
        ("detection", "ssd-mobilenet-v2", "backbone.trunk", "head"),
        ("detection", "ssd-mobilenet-v2", "backbone.trunk", "backbone.extra"),
        ("detection", "ssd300-vgg16", "backbone.extra.0", "backbone.extra.2"),
        ("detection", "fcos-resnet18", "net.backbone.trunk", "net.head"),
        ("pose", "mobilenet-v2", "trunk", "output"),
        ("segmentation", "lraspp-mobilenet-v3-large", "trunk", "head"),
    ],
)
def test_features_are_kept_by_the_weights_that_they_depend_on(task, name, read, unread):
    kind = plugins.load("tasks", task)
    options = getattr(kind, "Options", TaskOptions)
    side = 300 if name == "ssd300-vgg16" else 64
    made = kind(options(name=task), ModelOptions(name=name, weights="none", input_size=side), ("a", "b"))
    network = made.build_model()
    before = frozen_features.weights_read(made, network)
    with torch.no_grad():
        next(network.get_submodule(unread).parameters()).add_(1)
        assert frozen_features.weights_read(made, network) == before
        last = list(network.get_submodule(read).parameters())[-1]
        last.add_(1)
    assert frozen_features.weights_read(made, network) != before
    assert all(parameter.requires_grad for parameter in network.parameters())
