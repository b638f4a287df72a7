"""Which form of the loss head ranks better: Spearman's correlation of predicted and true losses on held-out images.

For each set and seed: draw the training images by the seed, train as `alcli train` would, once with each form of
`train.loss_head`, and print the correlation over all test images and the task's metrics. Both forms start from the same
weights and see the same batches. Reads the folder that ALCLI_DATA names and MobileNetV2 weights from ALCLI_WEIGHTS.
`--summarize FILE` reads lines that were printed before: differences paired by set and seed, with 95 % intervals.
"""

from __future__ import annotations

import argparse
import json
import os
import random
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from recipe import CAMVID, SETS, Set, examples
from scipy import stats

from alcli import plugins
from alcli.config import ModelOptions, ScoreOptions, TrainOptions, own_options
from alcli.engine import inference
from alcli.engine.training import feature_channels, seed_everything, train
from alcli.models.loss_head import LossHead
from alcli.tasks import Example

FORMS = ("published", "detached")
LSP = ("lsp/images", "lsp/person_keypoints_{}.json")
ALL = {
    "bccd": SETS["bccd"],
    "camvid": SETS["camvid"],
    "clothing": Set("classification", "class-folders", ("clothing/train",) * 2, ("clothing/test",) * 2),
    "lsp": Set("pose", "coco", (LSP[0], LSP[1].format("pool")), (LSP[0], LSP[1].format("test"))),
}
CLASSES = {"bccd": ("Platelets", "RBC", "WBC"), "camvid": CAMVID}


def classes_of(name: str, data: Path) -> tuple[str, ...]:
    """The class names of a set, or the names of its joints."""
    if name == "clothing":
        return tuple(sorted(path.name for path in (data / "clothing/train").iterdir()))
    if name == "lsp":
        return tuple(json.loads((data / ALL[name].train[1]).read_text())["categories"][0]["keypoints"])
    return CLASSES[name]


def run(name: str, form: str, seed: int, count: int, updates: int, side: int, parts: Sequence[Any]) -> dict[str, Any]:
    """Train once; the correlation and the metrics on the test images."""
    task, pool, test = parts
    options = TrainOptions(workers=0, seed=seed, epochs=1, min_steps=updates, batch_size=8, loss_head=form)
    training = random.Random(seed).sample(pool, count)
    seed_everything(seed)
    model = task.build_model()
    head = LossHead(feature_channels(task, model))
    for _ in train(task, model, head, training, options):
        pass
    scoring = ScoreOptions(workers=0)
    true, predicted = inference.losses(task, model, head, test, scoring)
    metrics = task.evaluate(test, list(inference.predictions(task, model, test, scoring)))
    shown = {key: round(100 * value, 2) for key, value in metrics.items()}
    correlation = round(float(stats.spearmanr(true, predicted).statistic), 4)
    sizes = {"images": count, "held_out": len(test), "side": side, "updates": updates}
    return {"set": name, "form": form, "seed": seed, **sizes, "spearman": correlation, **shown}


def load(name: str, side: int, most: int) -> tuple[Any, list[Example], list[Example]]:
    """The task, its training images and its test images."""
    data, spec = Path(os.environ["ALCLI_DATA"]), ALL[name]
    own = {"ignore_index": len(CAMVID)} if spec.task == "segmentation" else {}
    model = ModelOptions(name=spec.model, weights=os.environ.get("ALCLI_WEIGHTS", "none"), input_size=side)
    options = own_options("task", spec.task)(name=spec.task, **own)
    task = plugins.load("tasks", spec.task)(options, model, classes_of(name, data))
    test = examples(task, spec, 1, data)
    return task, examples(task, spec, 0, data), random.Random(0).sample(test, min(most, len(test)))


def summarize(lines: Sequence[dict[str, Any]]) -> None:
    """Print detached − published for each set and for the mean of the sets, paired by seed."""
    values: dict[tuple[str, str], dict[int, dict[str, Any]]] = defaultdict(dict)
    for line in lines:
        values[line["set"], line["form"]][line["seed"]] = line
    means: dict[int, list[float]] = defaultdict(list)
    for name in ALL:
        published, detached = (values[name, form] for form in FORMS)
        seeds = sorted(published.keys() & detached.keys())
        if not seeds:
            continue
        first = published[seeds[0]]
        headline = [key for key in first if key not in {"set", "form", "seed", "images", "held_out", "side", "updates"}]
        for key in headline[:2]:
            gains = [detached[seed][key] - published[seed][key] for seed in seeds]
            levels = [np.mean([side[seed][key] for seed in seeds]) for side in (published, detached)]
            print(f"{name} {key}: {levels[0]:.3f} {levels[1]:.3f} {interval(gains)} ({len(seeds)} seeds)")
        for seed in seeds:
            means[seed].append(detached[seed]["spearman"] - published[seed]["spearman"])
    complete = [float(np.mean(gains)) for gains in means.values() if len(gains) == max(map(len, means.values()))]
    print(f"mean of the sets, spearman: {interval(complete)} ({len(complete)} seeds)")


def interval(gains: Sequence[float]) -> str:
    """Mean and 95 % interval by Student's t."""
    mean, error = float(np.mean(gains)), stats.sem(gains) if len(gains) > 1 else float("nan")
    reach = stats.t.ppf(0.975, max(len(gains) - 1, 1)) * error
    return f"{mean:+.3f} [{mean - reach:+.3f}, {mean + reach:+.3f}]"


def main(arguments: Sequence[str] | None = None) -> None:
    """Print one JSON line per training, or a summary of such lines."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--sets", nargs="+", default=list(ALL), choices=ALL)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--images", type=int, default=80)
    parser.add_argument("--held-out", type=int, default=400)
    parser.add_argument("--updates", type=int, default=400)
    parser.add_argument("--input-size", type=int, default=160)
    parser.add_argument("--summarize", type=Path)
    given = parser.parse_args(arguments)
    if given.summarize:
        summarize([json.loads(line) for line in given.summarize.read_text().splitlines() if line.startswith("{")])
        return
    parts = {name: load(name, given.input_size, given.held_out) for name in given.sets}
    for seed in given.seeds:
        for name in given.sets:
            for form in FORMS:
                line = run(name, form, seed, given.images, given.updates, given.input_size, parts[name])
                print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
