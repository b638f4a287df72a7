"""What the choice of images is worth under each training recipe, on video frames (FOD-A).

Only frames of FOD-A's own pool are used: of each class the first four fifths, in the order of the video, are chosen
from, the rest is tested on. For each seed: 60 images by chance, a model trained on them by default, then 120 further
images by each choice, and one training for each recipe and choice on all 180. Also prints how the model's uncertainty
of an image follows its loss on the test part. Reads `fod_a/` below ALCLI_DATA and MobileNetV2 weights from
ALCLI_WEIGHTS. Run it with OMP_NUM_THREADS=1.
"""

from __future__ import annotations

import argparse
import json
import os
import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from recipe import SETS, classes_of, cpu_seconds, examples
from scipy.stats import spearmanr
from torch import nn

from alcli import plugins
from alcli.config import ModelOptions, ScoreOptions, StrategyOptions, TrainOptions, own_options
from alcli.engine import inference
from alcli.engine.training import feature_channels, seed_everything, train
from alcli.models.loss_head import LossHead
from alcli.signals import Signals
from alcli.strategies import make_strategy
from alcli.tasks import Example

START, BUDGET = 60, 120
RECIPES: dict[str, dict[str, Any]] = {
    "defaults": {},
    "trunk × 0.3": {"trunk_rate": 0.3},
    "trunk × 0.1": {"trunk_rate": 0.1},
    "trunk × 0.1, moving norms": {"trunk_rate": 0.1, "still_norms": "never"},
    "no average": {"ema": 0.0},
    "30 epochs": {"min_steps": 0, "batch_size": 16},
}
CHOICES = ("random", "facility-location", "auto")
"""`auto` trusts the uncertainties fully here; without any trust it would be facility location."""
SCORE = ScoreOptions(workers=0)


@dataclass(frozen=True)
class Parts:
    """The task, the frames to choose from and the frames to test on."""

    task: Any
    pool: Sequence[Example]
    test: Sequence[Example]


def read_parts(side: int) -> Parts:
    """Cut FOD-A's pool into frames to choose from and frames to test on."""
    data, spec = Path(os.environ["ALCLI_DATA"]), SETS["fod-a"]
    model = ModelOptions(name=spec.model, weights=os.environ.get("ALCLI_WEIGHTS", "none"), input_size=side)
    options = own_options("task", "detection")(name="detection")
    task = plugins.load("tasks", "detection")(options, model, classes_of(spec, data))
    by_class: dict[str, list[Example]] = defaultdict(list)
    for example in examples(task, spec, 0, data):
        by_class[example.annotation.boxes[0].label if example.annotation.boxes else ""].append(example)
    pool: list[Example] = []
    test: list[Example] = []
    for frames in by_class.values():
        frames.sort(key=lambda example: (len(example.item.name), example.item.name))
        cut = round(0.8 * len(frames))
        pool += frames[:cut]
        test += frames[cut:]
    return Parts(task, pool, test)


def fit(task: Any, training: Sequence[Example], recipe: dict[str, Any], seed: int) -> tuple[nn.Module, LossHead, float]:
    """Train from the given weights; the model, its loss head, and the CPU seconds that it took."""
    seed_everything(seed)
    model = task.build_model()
    head = LossHead(feature_channels(task, model))
    before = cpu_seconds()
    for _ in train(task, model, head, training, TrainOptions(**{"workers": 0, "seed": seed, **recipe})):
        pass
    return model, head, cpu_seconds() - before


def signals_of(parts: Parts, model: nn.Module, head: LossHead, chosen: Sequence[Example]) -> Signals:
    """The model's signals of these examples, in their order."""
    needs = frozenset({"embedding", "margin", "class_uncertainty", "expected_objects"})
    shards = [part for part, _ in inference.signals(parts.task, model, head, chosen, needs, SCORE)]
    arrays = {name: np.concatenate([shard[name] for shard in shards]) for name in needs}
    return Signals([example.item.id for example in chosen], arrays)


def correlations(parts: Parts, model: nn.Module, head: LossHead) -> dict[str, float]:
    """Spearman's correlation of class uncertainty and loss on the test part, and on its images with a box only."""
    signals = signals_of(parts, model, head, parts.test)
    losses, _ = inference.losses(parts.task, model, head, parts.test, SCORE)
    values, seen = signals["class_uncertainty"].sum(axis=1), signals["margin"] >= 0
    inside = spearmanr(values[seen], losses[seen]).statistic if seen.sum() > 2 else float("nan")
    everything = spearmanr(values, losses).statistic
    return {"rho": round(everything, 3), "rho_with_box": round(inside, 3), "with_box": round(float(seen.mean()), 3)}


def choose(parts: Parts, start: Sequence[Example], model: nn.Module, head: LossHead, seed: int) -> dict[str, list]:
    """120 further examples by each choice."""
    taken = {example.item.id for example in start}
    rest = [example for example in parts.pool if example.item.id not in taken]
    signals = signals_of(parts, model, head, rest)
    counts = [sum(box.label == name for e in start for box in e.annotation.boxes) for name in parts.task.classes]
    signals = Signals(signals.item_ids, signals.arrays, signals_of(parts, model, head, start), counts)
    rng = np.random.default_rng(seed)
    picks = {}
    for name in CHOICES:
        scores = make_strategy(name, StrategyOptions(name=name)).score(signals, BUDGET, rng)
        order = np.lexsort((rng.permutation(len(rest)), -scores))
        picks[name] = [rest[position] for position in order[:BUDGET].tolist()]
    return picks


def main(arguments: Sequence[str] | None = None) -> None:
    """Print one JSON line per training."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--recipes", nargs="+", default=list(RECIPES), choices=RECIPES)
    parser.add_argument("--choices", nargs="+", default=list(CHOICES), choices=CHOICES)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--input-size", type=int, default=160)
    given = parser.parse_args(arguments)
    parts = read_parts(given.input_size)
    print(json.dumps({"pool": len(parts.pool), "test": len(parts.test)}), flush=True)
    for seed in given.seeds:
        start = random.Random(seed).sample(list(parts.pool), START)
        model, head, seconds = fit(parts.task, start, {}, seed)
        line = {"seed": seed, "images": START, "cpu_s": round(seconds, 1), **correlations(parts, model, head)}
        print(json.dumps(line), flush=True)
        picks = choose(parts, start, model, head, seed)
        for recipe in given.recipes:
            for choice in given.choices:
                training = [*start, *picks[choice]]
                model, head, seconds = fit(parts.task, training, RECIPES[recipe], seed)
                metrics = parts.task.evaluate(parts.test, inference.predictions(parts.task, model, parts.test, SCORE))
                line = {"seed": seed, "recipe": recipe, "choice": choice, "cpu_s": round(seconds, 1)}
                shown = {name: round(100 * metrics[name], 2) for name in ("map", "ap50")}
                seen = len({box.label for example in training for box in example.annotation.boxes})
                print(json.dumps({**line, **shown, "classes": seen}), flush=True)


if __name__ == "__main__":
    main()
