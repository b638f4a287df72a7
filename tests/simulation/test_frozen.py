"""Frozen features: a linear head over what a network sees, on a made-up world where one can know what is right."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torchvision
from PIL import Image
from safetensors.torch import save_file

from alcli.annotations import Annotation
from alcli.config import Config, ModelOptions
from alcli.errors import DataError
from alcli.items import Item
from alcli.models import uncertainty
from alcli.signals import Signals
from alcli.simulation.features import Features
from alcli.simulation.frozen import FrozenEngine
from alcli.simulation.labels import Labels
from alcli.simulation.linear_head import LinearLearner, _Head
from alcli.simulation.plan import Arm, Plan
from alcli.simulation.runs import Job
from alcli.strategies.entropy import Entropy
from alcli.tasks import Example
from alcli.tasks.classification import Classification

CLASSES = ("circle", "line", "square")


@pytest.fixture(scope="module")
def engine():
    """Three clouds of points in eight dimensions, one class ten times rarer than the others."""
    rng = np.random.default_rng(0)
    targets = rng.choice(3, 260, p=[0.48, 0.48, 0.04])
    targets[:3] = [0, 1, 2]
    deep = (rng.normal(size=(260, 8)) + 2.0 * np.eye(8)[targets]).astype(np.float32)
    ids = [f"i{number:03}" for number in range(260)]
    rows = [
        Example(Item(name, name, "u"), None, Annotation(name, labels=(CLASSES[target],)), (9, 9))
        for name, target in zip(ids, targets.tolist(), strict=True)
    ]
    features = Features(ids, deep, deep, (3, 5), deep.astype(np.float16))
    config = Config(task=Classification.Options(name="classification"), model=ModelOptions(name="mobilenet-v3-small"))
    labels = Labels(rows[:200], rows[200:], CLASSES, "labels")
    return FrozenEngine(config, labels, LinearLearner(config, labels, features))


def run(engine, tmp_path, strategy, seed=0, plan=None):
    return list(engine.turns(Job(tmp_path, Arm(strategy), seed, plan or Plan(10, 15, 4, True)), ()))


@pytest.mark.parametrize("strategy", ["random", "margin", "learned-loss", "bald", "output-discrepancy", "core-set"])
def test_every_arm_starts_equal_and_asks_for_the_budget_from_the_pool(engine, tmp_path, strategy):
    points = run(engine, tmp_path, strategy)
    assert points[0].metrics == run(engine, tmp_path, "random")[0].metrics
    assert [point.labels for point in points] == [10, 25, 40, 55, 70]
    asked = [name for point in points for name in point.asked]
    assert len(asked) == len(set(asked)) == 60
    assert all(name < "i200" for name in asked)
    assert points == run(engine, tmp_path, strategy)


def test_more_labels_help_and_uncertainty_finds_the_rare_class(engine, tmp_path):
    by_chance = [run(engine, tmp_path, "random", seed) for seed in range(6)]
    by_margin = [run(engine, tmp_path, "margin", seed) for seed in range(6)]
    chance = np.array([[point.metrics["macro_accuracy"] for point in points] for points in by_chance]).mean(axis=0)
    margin = np.array([[point.metrics["macro_accuracy"] for point in points] for points in by_margin]).mean(axis=0)
    assert chance[-1] > chance[0] + 0.05
    assert margin[1:].mean() > chance[1:].mean()


def test_the_random_share_of_auto_is_counted(engine, tmp_path):
    points = run(engine, tmp_path, "auto", plan=Plan(10, 40, 2, True))
    assert [point.at_random for point in points] == [2, 2, 0]
    assert [point.at_random for point in run(engine, tmp_path, "margin")] == [0] * 5


def test_every_signal_has_a_row_for_each_item_and_is_what_it_is_called(engine):
    needs = uncertainty.SIGNALS
    first = engine.learner.learn(["i000", "i001", "i002", *(f"i{n:03}" for n in range(10, 50))], needs, 0, None)
    model = engine.learner.learn([f"i{n:03}" for n in range(60)], needs, 0, first)
    item_ids = [f"i{n:03}" for n in range(60, 160)]
    signals = Signals(item_ids, model.signals(item_ids, needs))
    assert signals.finite().all()
    probabilities = np.sort(signals["class_scores"], axis=1)
    assert signals["margin"] == pytest.approx(1 - (probabilities[:, -1] - probabilities[:, -2]), abs=1e-6)
    assert signals["least_confidence"] == pytest.approx(1 - probabilities[:, -1], abs=1e-6)
    assert (signals["mutual_information"] >= 0).all()
    assert signals["output_discrepancy"].max() > 0


def test_a_single_class_and_a_single_label_are_no_error(engine, tmp_path):
    model = engine.learner.learn(["i000"], frozenset({"margin"}), 0, None)
    assert model.signals(["i010", "i011"], frozenset({"margin"}))["margin"].tolist() == [0, 0]
    assert run(engine, tmp_path, "margin", plan=Plan(1, 5, 2, True))[0].labels == 1
    assert run(engine, tmp_path, "learned-loss", plan=Plan(1, 5, 2, True))[-1].labels == 11


def test_with_few_labels_of_many_classes_scikit_learn_does_not_ask_whether_they_are_classes():
    rows = np.arange(24)
    head = _Head(np.random.default_rng(0).normal(size=(24, 8)), classes=20, strength=1.0, before=None)
    head.fit(rows, rows % 16)  # a warning is an error in these tests
    assert (head.probabilities(rows)[:, 16:] == 0).all()  # classes without a label


def test_a_signal_that_is_not_a_number_names_the_item(engine, tmp_path, monkeypatch):
    def broken(self, signals, budget, rng):
        scores = signals["entropy"].astype(np.float64)
        scores[0] = np.nan
        return scores

    monkeypatch.setattr(Entropy, "score", broken)
    with pytest.raises(DataError, match="the strategy's score is nan"):
        run(engine, tmp_path, "entropy")


def test_from_images_to_a_table_on_the_command_line(tmp_path, alcli):
    rng = np.random.default_rng(0)
    for number in range(60):
        pixels = rng.integers(0, 60, (40, 40, 3), dtype=np.uint8)
        pixels[..., number % 3] += 150
        folder = tmp_path / "images" / ("test" if number >= 40 else "pool")
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / f"{number:02}.png")
    names = [f"{'test' if n >= 40 else 'pool'}/{n:02}.png,{'rgb'[n % 3]}" for n in range(60)]
    (tmp_path / "labels.csv").write_text("name,label\n" + "\n".join(names) + "\n")
    save_file(torchvision.models.mobilenet_v3_small().state_dict(), tmp_path / "weights.safetensors")
    options = ["--task", "classification", "--images", tmp_path / "images", "--annotations", tmp_path / "labels.csv"]
    options += ["--weights", tmp_path / "weights.safetensors", "--set", "model.input_size=64"]
    code, _, err = alcli("init", tmp_path / "W", *options, "--set", "score.workers=0")
    assert code == 0, err
    alcli("pull", "-w", tmp_path / "W")
    command = ["simulate", "-w", tmp_path / "W", "--frozen", "--seeds", 3, "--start", 5, "--budget", 5, "--cycles", 2,
               "--test", "test/", "--jobs", 1]  # fmt: skip
    code, out, err = alcli(*command, "--strategies", "margin,badge", "--json")
    assert code == 0, err
    document = json.loads(out)
    assert document["metric"] == "top1"
    assert document["plan"]["frozen"]
    assert [row["arm"] for row in document["arms"]] == ["random", "margin", "badge"]
    # Another network under the same name: no run of the first may stand beside its own.
    save_file(torchvision.models.mobilenet_v3_small().state_dict(), tmp_path / "weights.safetensors")
    code, out, err = alcli(*command, "--strategies", "margin", "--json")
    assert json.loads(out)["folder"].endswith("0002")
    code, _, err = alcli(*command, "--strategies", "margin@plain")
    assert code == 2
    assert "margin@plain" in err
