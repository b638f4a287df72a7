"""What the parts of the training recipe are worth with few labels, at how many CPU seconds.

For each set, arm and seed: draw the training images by the seed, train as `alcli train` would without a held-out share,
and print the metrics on all test images, the steps, and the CPU seconds of this process for training alone. The first
arm, `before`, is the recipe of earlier versions: one rate for all layers, no average of weights, batch norms that move,
30 epochs of batches of 16, each pixel alike. Reads the folder that ALCLI_DATA names and MobileNetV2
weights from ALCLI_WEIGHTS. Run it with OMP_NUM_THREADS=1.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import resource
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from alcli import images, plugins
from alcli.annotations import Annotation
from alcli.config import ModelOptions, ScoreOptions, TrainOptions, own_options
from alcli.engine import inference
from alcli.engine.recipe import settle
from alcli.engine.training import feature_channels, seed_everything, train
from alcli.errors import DataError
from alcli.items import Item
from alcli.models.loss_head import LossHead
from alcli.tasks import Example

CAMVID = ("Sky", "Building", "Pole", "Road", "Pavement", "Tree", "Sign", "Fence", "Car", "Pedestrian", "Bicyclist")
BEFORE = {"trunk_rate": 1.0, "ema": 0.0, "still_norms": "never", "min_steps": 0, "batch_size": 16}
ARMS: dict[str, dict[str, Any]] = {
    "before": {**BEFORE, "class_weights": "none"},
    "boxes": {**BEFORE, "box_weights": "boxes"},
    "trunk": {**BEFORE, "trunk_rate": 0.1},
    "ema": {**BEFORE, "ema": 0.99},
    "still": {**BEFORE, "trunk_rate": 0.1, "still_norms": "auto"},
    "all": {**BEFORE, "trunk_rate": 0.1, "still_norms": "auto", "ema": 0.99},
    "frozen": {**BEFORE, "freeze_backbone": True, "ema": 0.99},
    "stem": {"freeze_stem": True},
    "unweighted": {"class_weights": "none"},
    "defaults": {},
}
"""Settings of each arm that are not the defaults; those of the task among them."""


@dataclass(frozen=True)
class Set:
    """One set: task, format, (images, labels) of both parts, and where the names of each part are listed, if so."""

    task: str
    format: str
    train: tuple[str, str]
    test: tuple[str, str]
    lists: tuple[str, str] | None = None
    model: str = "mobilenet-v2"


BCCD = ("bccd/BCCD/JPEGImages", "bccd/BCCD/Annotations")
FOD_A = ("fod_a/JPEGImages", "fod_a/Annotations")
SETS = {
    "bccd": Set("detection", "voc", BCCD, BCCD, ("bccd/BCCD/ImageSets/Main/trainval.txt",
                "bccd/BCCD/ImageSets/Main/test.txt"), "ssd-mobilenet-v2"),
    "fod-a": Set("detection", "voc", FOD_A, FOD_A, ("fod_a/ImageSets/Main/pool.txt",
                 "fod_a/ImageSets/Main/test.txt"), "ssd-mobilenet-v2"),
    "camvid": Set("segmentation", "masks", ("camvid/images/train", "camvid/masks/train"),
                  ("camvid/images/test", "camvid/masks/test")),
}  # fmt: skip


def examples(task: Any, spec: Set, part: int, data: Path) -> list[Example]:
    """The usable examples of the training part (0) or the test part (1), by name."""
    folder, labels = (data / path for path in (spec.train, spec.test)[part])
    labels = _with_class_list(labels) if spec.format == "masks" else labels
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.jpg"))
    if spec.lists:
        wanted = set((data / spec.lists[part]).read_text().split())
        names = [name for name in names if Path(name).stem in wanted]
    reader = plugins.load("formats", spec.format)(labels)
    usable = []
    for name in sorted(reader.labeled(names)[0]):
        with contextlib.suppress(DataError):
            item, path = Item(name, name, "u"), folder / name
            usable.append(task.encode(item, path, images.inspect(path), reader.read(name)))
    return usable


def _with_class_list(masks: Path) -> Path:
    """CamVid comes without classes.txt: links to its masks in a folder that has one."""
    folder = Path(tempfile.mkdtemp())
    for mask in masks.iterdir():
        (folder / mask.name).symlink_to(mask.resolve())
    (folder / "classes.txt").write_text("\n".join(CAMVID) + "\n")
    return folder


def classes_of(spec: Set, data: Path) -> tuple[str, ...]:
    """The class names: of the annotations, or CamVid's."""
    if spec.task == "segmentation":
        return CAMVID
    reader = plugins.load("formats", spec.format)(data / spec.train[1])
    names = [path.relative_to(data / spec.train[0]).as_posix() for path in (data / spec.train[0]).rglob("*.jpg")]
    labels = set()
    for name in reader.labeled(sorted(names))[0]:
        with contextlib.suppress(DataError):
            labels |= {box.label for box in reader.read(name).boxes}
    return tuple(sorted(labels))


def measure(name: str, arm: dict[str, Any], seed: int, count: int, side: int | None, test_count: int | None) -> dict:
    """Train once; the metric on the test images, the steps, the CPU seconds of training."""
    data, spec = Path(os.environ["ALCLI_DATA"]), SETS[name]
    own_fields = own_options("task", spec.task)
    own = {key: value for key, value in arm.items() if key in own_fields.model_fields}
    own |= {"ignore_index": len(CAMVID)} if spec.task == "segmentation" else {}
    settings = {key: value for key, value in arm.items() if key in TrainOptions.model_fields}
    options = TrainOptions(**{"workers": 0, "seed": seed, **settings})
    weights = os.environ.get("ALCLI_WEIGHTS", "none")
    kind = plugins.load("tasks", spec.task)
    model_options = ModelOptions(name=spec.model, weights=weights, input_size=side)
    task = kind(own_fields(name=spec.task, **own), model_options, classes_of(spec, data))
    training = random.Random(seed).sample(examples(task, spec, 0, data), count)
    test = examples(task, spec, 1, data)[:test_count]
    seed_everything(options.seed)
    model = task.build_model()
    head = LossHead(feature_channels(task, model))
    before = cpu_seconds()
    for _ in train(task, model, head, training, options):
        pass
    seconds = cpu_seconds() - before
    predictions = list(inference.predictions(task, model, test, ScoreOptions(workers=0)))
    metrics = task.evaluate(test, predictions)
    if name == "bccd":
        metrics |= by_class(task, test, predictions)
    settled = settle(task, options, count)
    shown = {key: round(100 * value, 2) for key, value in metrics.items()}
    return {"set": name, "seed": seed, "images": count, "side": task.input_shape[0], "batch": settled.batch_size,
            "steps": settled.epochs * -(-count // settled.batch_size), "cpu_s": round(seconds, 1), **shown}  # fmt: skip


def by_class(task: Any, test: Sequence[Example], predictions: Sequence[Annotation]) -> dict[str, float]:
    """AP50 of each class, by leaving out all other boxes."""
    values = {}
    for label in task.classes:
        truth = [replace(example, annotation=_only(example.annotation, label)) for example in test]
        values[label] = task.evaluate(truth, [_only(each, label) for each in predictions])["ap50"]
    return values


def _only(annotation: Annotation, label: str) -> Annotation:
    return replace(annotation, boxes=tuple(box for box in annotation.boxes if box.label == label))


def cpu_seconds() -> float:
    """CPU seconds of this process so far, in user and system mode."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def main(arguments: Sequence[str] | None = None) -> None:
    """Print one JSON line per run."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--set", default="bccd", choices=SETS)
    parser.add_argument("--arms", nargs="+", default=["before", "defaults"], choices=ARMS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1])
    parser.add_argument("--images", type=int, default=120)
    parser.add_argument("--test-images", type=int)
    parser.add_argument("--input-size", type=int)
    parser.add_argument("--change", nargs="*", default=[], help="key=value of training, for all arms")
    given = parser.parse_args(arguments)
    changes = {key: json.loads(value) for key, value in (change.split("=", 1) for change in given.change)}
    for seed in given.seeds:
        for arm in given.arms:
            settings = {**ARMS[arm], **changes}
            line = measure(given.set, settings, seed, given.images, given.input_size, given.test_images)
            print(json.dumps({"arm": arm, **line}), flush=True)


if __name__ == "__main__":
    main()
