"""How many of the labels that were spoilt on purpose stand at the head of the list of suspicious ones.

    ALCLI_DATA=… ALCLI_WEIGHTS=… python examples/benchmarks/suspicious_labels.py

Spoils 5 % of the annotations of BCCD (a box dropped, its class changed, or the box shifted by its own size) and of
Clothing (another class). Trains on each half, judges the other half, and prints the precision among the first 5 % of
the list: by true loss above the expected (`alcli.review.differences.excess`), by the true loss alone, and by cleanlab
on the same predictions where it is installed. Then the same for the half that the model was trained on.
"""

from __future__ import annotations

import argparse
import os
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from alcli import images
from alcli.annotations import Annotation, Box
from alcli.config import ModelOptions, ScoreOptions, TrainOptions
from alcli.engine import inference
from alcli.engine.training import feature_channels, seed_everything, train
from alcli.errors import DataError
from alcli.formats.voc import Voc
from alcli.items import Item
from alcli.models.loss_head import LossHead
from alcli.review.differences import difference, excess
from alcli.tasks import Example
from alcli.tasks.classification import Classification
from alcli.tasks.detection import Detection

SHARE = 0.05
BLOOD = ("Platelets", "RBC", "WBC")
OPTIONS = ScoreOptions()


def main() -> None:
    """Both sets, the judged half first, then the trained one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", default=["bccd", "clothing"], choices=["bccd", "clothing"])
    parser.add_argument("--limit", type=int, default=1500, help="use only so many images of a set")
    arguments = parser.parse_args()
    data, weights = Path(os.environ["ALCLI_DATA"]), os.environ.get("ALCLI_WEIGHTS", "none")
    for name in arguments.sets:
        task, examples, epochs = (_bccd if name == "bccd" else _clothing)(data, weights, arguments.limit)
        spoilt, kinds = _spoilt(examples, task.classes)
        for trained_on in (False, True):
            _judge(name, task, spoilt, kinds, epochs, trained_on)


def _bccd(data: Path, weights: str, limit: int) -> tuple[Any, list[Example], int]:
    options = ModelOptions(name="ssd-mobilenet-v2", weights=weights, input_size=256)
    task = Detection(Detection.Options(), options, BLOOD)
    folder = data / "bccd/BCCD"
    voc = Voc(folder / "Annotations")
    names = sorted(path.name for path in (folder / "JPEGImages").glob("*.jpg"))
    examples = []
    for name in sorted(voc.labeled(names)[0])[:limit]:
        path = folder / "JPEGImages" / name
        try:
            examples.append(task.encode(Item(name, name, "u"), path, images.inspect(path), voc.read(name)))
        except DataError:
            continue
    return task, _shuffled(examples), 12


def _clothing(data: Path, weights: str, limit: int) -> tuple[Any, list[Example], int]:
    root = data / "clothing/train"
    paths = _shuffled(sorted(root.rglob("*.jpg")))[:limit]
    classes = sorted({path.parent.name for path in paths})
    options = ModelOptions(name="mobilenet-v2", weights=weights, input_size=128)
    task = Classification(Classification.Options(name="classification"), options, classes)
    rows = [(str(path.relative_to(root)), path) for path in paths]
    said = [(Item(name, name, "u"), path, Annotation(name, labels=(path.parent.name,))) for name, path in rows]
    return task, [task.encode(item, path, images.inspect(path), row) for item, path, row in said], 4


def _shuffled(rows: list) -> list:
    random.Random(0).shuffle(rows)
    return rows


def _spoilt(examples: Sequence[Example], classes: Sequence[str]) -> tuple[list[Example], dict[str, str]]:
    """The examples, 5 % of them wrong; and item id → how."""
    rng = random.Random(1)
    chosen = set(rng.sample(range(len(examples)), round(SHARE * len(examples))))
    kinds: dict[str, str] = {}
    rows = []
    for place, example in enumerate(examples):
        said = example.annotation
        if place in chosen and said is not None:
            said, kind = _wrong(said, classes, rng)
            kinds[example.item.id] = kind
        rows.append(replace(example, annotation=said))
    return rows, kinds


def _wrong(said: Annotation, classes: Sequence[str], rng: random.Random) -> tuple[Annotation, str]:
    if said.labels:
        other = rng.choice([name for name in classes if name not in said.labels])
        return replace(said, labels=(other,)), "wrong class"
    boxes = list(said.boxes)
    place = rng.randrange(len(boxes))
    box, (width, height) = boxes[place], said.size or (1, 1)
    kind = rng.choice(["missing box", "wrong class", "shifted box"])
    if kind == "missing box":
        del boxes[place]
    elif kind == "wrong class":
        boxes[place] = replace(box, label=rng.choice([name for name in classes if name != box.label]))
    else:
        boxes[place] = _moved(box, width, height)
    return replace(said, boxes=tuple(boxes)), kind


def _moved(box: Box, width: int, height: int) -> Box:
    """By 0.6 of its own size towards the farther side of the image."""
    right = 0.6 * (box.x2 - box.x1) * (1 if box.x1 + box.x2 < width else -1)
    down = 0.6 * (box.y2 - box.y1) * (1 if box.y1 + box.y2 < height else -1)
    moved = (max(box.x1 + right, 0), max(box.y1 + down, 0), min(box.x2 + right, width), min(box.y2 + down, height))
    return replace(box, x1=moved[0], y1=moved[1], x2=moved[2], y2=moved[3])


def _judge(name: str, task: Any, examples: list[Example], kinds: dict[str, str], epochs: int, trained_on: bool) -> None:
    half = len(examples) // 2
    halves = (examples[:half], examples[half:])
    ids: list[str] = []
    columns: dict[str, list[float]] = {"excess": [], "true loss": [], "cleanlab": []}
    named = []
    for turn in range(2):
        learnt, judged = halves[turn], halves[turn if trained_on else 1 - turn]
        seed_everything(0)
        model = task.build_model()
        head = LossHead(feature_channels(task, model))
        for _ in train(task, model, head, learnt, TrainOptions(epochs=epochs)):
            pass
        rows = inference.item_losses(task, model, head, judged, OPTIONS)
        true, predicted = (np.array(column) for column in list(zip(*rows, strict=True))[1:])
        ids += [row[0] for row in rows]
        columns["true loss"] += true.tolist()
        columns["excess"] += excess(true, predicted).tolist()
        columns["cleanlab"] += _cleanlab(task, model, head, judged)
        seen = {row.item_id: row for row in inference.predictions(task, model, judged, OPTIONS)}
        named += [(row.item.id, difference(row.annotation or Annotation(""), seen[row.item.id]).kind) for row in judged]
    count = round(SHARE * len(ids))
    wrong = np.array([item_id in kinds for item_id in ids])
    shown = [
        f"{column} {100 * wrong[np.argsort(-np.array(values), kind='stable')[:count]].mean():.0f} %"
        for column, values in columns.items()
        if values
    ]
    right = [kind == kinds[item_id] for item_id, kind in named if item_id in kinds]
    which = "the half it was trained on" if trained_on else "the other half"
    print(
        f"{name}, {which}: {wrong.sum()} of {len(ids)} spoilt; precision in the first {count}: {', '.join(shown)}; "
        f"kind named rightly {100 * np.mean(right):.0f} %",
        flush=True,
    )


def _cleanlab(task: Any, model: Any, head: LossHead, judged: Sequence[Example]) -> list[float]:
    """One minus its label quality score; empty where it is not installed."""
    try:
        import cleanlab.object_detection.rank
        import cleanlab.rank
    except ImportError:
        return []
    numbers: Callable[[str], int] = task.classes.index
    said = [row.annotation for row in judged if row.annotation]
    if said[0].labels:
        parts = inference.signals(task, model, head, judged, frozenset({"class_scores"}), OPTIONS)
        chances = np.concatenate([part["class_scores"] for part, _ in parts])
        labels = np.array([numbers(row.labels[0]) for row in said])
        return (1 - cleanlab.rank.get_label_quality_scores(labels, chances / chances.sum(1, keepdims=True))).tolist()
    seen = list(inference.predictions(task, model, judged, OPTIONS))
    truth = [_truth(row.boxes, numbers) for row in said]
    found = [np.array([_rows(row.boxes, name) for name in task.classes], dtype=object) for row in seen]
    return (1 - cleanlab.object_detection.rank.get_label_quality_scores(truth, found, verbose=False)).tolist()


def _truth(boxes: Sequence[Box], numbers: Callable[[str], int]) -> dict[str, np.ndarray]:
    corners = np.array([[box.x1, box.y1, box.x2, box.y2] for box in boxes]).reshape(-1, 4)
    return {"bboxes": corners, "labels": np.array([numbers(box.label) for box in boxes], dtype=int)}


def _rows(boxes: Sequence[Box], name: str) -> np.ndarray:
    rows = [[box.x1, box.y1, box.x2, box.y2, box.score or 0.0] for box in boxes if box.label == name]
    return np.array(rows).reshape(-1, 5)


if __name__ == "__main__":
    main()
