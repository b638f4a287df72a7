"""How well predicted losses rank the true ones on images never trained on: train on one half, measure on the other.

Reads `bccd/` and `neu_det/` below the folder that ALCLI_DATA names, and MobileNetV2 weights from ALCLI_WEIGHTS.
Prints Spearman's correlation after training, and the same for the network before training, as it is.
"""

from __future__ import annotations

import argparse
import os
import random
from pathlib import Path

from scipy.stats import spearmanr

from alcli import images
from alcli.config import ModelOptions, ScoreOptions, TrainOptions
from alcli.engine import inference
from alcli.engine.training import feature_channels, seed_everything, train
from alcli.errors import DataError
from alcli.formats.voc import Voc
from alcli.items import Item
from alcli.models.loss_head import LossHead
from alcli.tasks import Example
from alcli.tasks.detection import Detection

SETS = {
    "bccd": ("bccd/BCCD/JPEGImages", "bccd/BCCD/Annotations", ("Platelets", "RBC", "WBC")),
    "neu": (
        "neu_det/images",
        "neu_det/annotations",
        ("crazing", "inclusion", "patches", "pitted_surface", "rolled-in_scale", "scratches"),
    ),
}


def load(task: Detection, photographs: Path, labels: Path, limit: int | None) -> list[Example]:
    """Every example whose annotation can be used, in a seeded order."""
    names = sorted(path.relative_to(photographs).as_posix() for path in photographs.rglob("*.jpg"))
    voc = Voc(labels)
    examples = []
    for name in sorted(voc.labeled(names)[0]):
        path = photographs / name
        try:
            examples.append(task.encode(Item(name, name, "u"), path, images.inspect(path), voc.read(name)))
        except DataError as error:
            print(f"  left out: {name}: {error.what}")
    random.Random(0).shuffle(examples)
    return examples[:limit]


def correlation(task: Detection, model, head: LossHead, examples: list[Example]) -> float:
    """Spearman's rank correlation of predicted and true per-image losses."""
    true, predicted = inference.losses(task, model, head, examples, ScoreOptions())
    return float(spearmanr(true, predicted).statistic)


def main() -> None:
    """Train on half of each set and print both correlations with the metric on the other half."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=SETS)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--limit", type=int, help="use only so many images")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    data, weights = Path(os.environ["ALCLI_DATA"]), os.environ.get("ALCLI_WEIGHTS", "none")
    for name in arguments.sets:
        photographs, labels, classes = SETS[name]
        seed_everything(arguments.seed)
        task = Detection(Detection.Options(), ModelOptions(name="ssd-mobilenet-v2", weights=weights), classes)
        examples = load(task, data / photographs, data / labels, arguments.limit)
        half = len(examples) // 2
        model = task.build_model()
        head = LossHead(feature_channels(task, model))
        before = correlation(task, model, head, examples[half:])
        options = TrainOptions(epochs=arguments.epochs, seed=arguments.seed)
        for report in train(task, model, head, examples[:half], options):
            print(
                f"  {name} epoch {report.epoch}: loss {report.loss:.3f}, ranking loss {report.ranking:.3f}", flush=True
            )
        after = correlation(task, model, head, examples[half:])
        metrics = task.evaluate(examples[half:], inference.predictions(task, model, examples[half:], ScoreOptions()))
        print(
            f"{name}: trained on {half}, measured on {len(examples) - half} images, {arguments.epochs} epochs: "
            f"Spearman {after:+.3f} (untrained weights {before:+.3f}), "
            + ", ".join(f"{key} {value:.3f}" for key, value in metrics.items()),
            flush=True,
        )


if __name__ == "__main__":
    main()
