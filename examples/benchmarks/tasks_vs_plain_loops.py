"""Is training through alcli as good as a plain loop, and does the loss head cost accuracy?

For each set: the metric after a short training on its training images, by alcli with its loss head, by alcli with
λ = 0, and by a plain PyTorch loop that shares with alcli only the network, its starting weights and the list of files;
images, transforms, losses and metrics are torchvision's, PIL's, scikit-learn's, pycocotools'. Same epochs, batch size,
optimiser, schedule and seed. What follows a ± is the standard deviation over seeds, of differences that of the paired
ones; the choice of the test images adds its own error. Reads the folder that ALCLI_DATA names and MobileNetV2 weights
from ALCLI_WEIGHTS.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import math
import os
import random
import statistics
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from sklearn.metrics import accuracy_score, confusion_matrix
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import tv_tensors
from torchvision.transforms import v2

from alcli import images, plugins
from alcli.config import ModelOptions, ScoreOptions, TrainOptions, own_options
from alcli.engine import inference
from alcli.engine.training import feature_channels, seed_everything, train
from alcli.errors import DataError
from alcli.items import Item
from alcli.models.loss_head import LossHead
from alcli.tasks import Example
from alcli.tasks._label_maps import label_map

PLAIN = {"min_steps": 0, "batch_size": 16, "trunk_rate": 1.0, "still_norms": "never", "ema": 0.0}
"""A recipe that a plain loop follows, too."""
NORMALISE = v2.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
CAMVID = ("Sky", "Building", "Pole", "Road", "Pavement", "Tree", "Sign", "Fence", "Car", "Pedestrian", "Bicyclist")
VOID = 11


@dataclass(frozen=True)
class Set:
    """Where a set lies, and what is measured on it."""

    task: str
    format: str
    train: tuple[str, str]
    test: tuple[str, str] | None
    metric: str
    model: str = "mobilenet-v2"


SETS = {
    "clothing": Set("classification", "class-folders", ("clothing/train",) * 2, ("clothing/test",) * 2, "top1"),
    "bccd": Set(
        "detection", "voc", ("bccd/BCCD/JPEGImages", "bccd/BCCD/Annotations"), None, "ap50", "ssd-mobilenet-v2"
    ),
    "neu": Set("detection", "voc", ("neu_det/images", "neu_det/annotations"), None, "ap50", "ssd-mobilenet-v2"),
    "camvid": Set(
        "segmentation",
        "masks",
        ("camvid/images/train", "camvid/masks/train"),
        ("camvid/images/test", "camvid/masks/test"),
        "miou",
    ),
    "lsp": Set(
        "pose",
        "coco",
        ("lsp/images", "lsp/person_keypoints_pool.json"),
        ("lsp/images", "lsp/person_keypoints_test.json"),
        "pck",
    ),
}


def read(name: str, place: tuple[str, str], data: Path) -> dict[str, tuple[Path, object]]:
    """Image name → (file, annotation) as alcli's format reads it; without what it refuses (boxes without area)."""
    photographs, labels = data / place[0], data / place[1]
    if name == "camvid":
        labels = _with_class_list(labels)
    names = sorted(path.relative_to(photographs).as_posix() for path in photographs.rglob("*.jpg"))
    reader = plugins.load("formats", SETS[name].format)(labels)
    rows = {}
    for found in sorted(reader.labeled(names)[0]):
        with contextlib.suppress(DataError):
            rows[found] = (photographs / found, reader.read(found))
    return rows


def _with_class_list(masks: Path) -> Path:
    """CamVid comes without classes.txt: links to its masks in a folder that has one."""
    folder = Path(tempfile.mkdtemp())
    for mask in masks.iterdir():
        (folder / mask.name).symlink_to(mask.resolve())
    (folder / "classes.txt").write_text("\n".join(CAMVID) + "\n")
    return folder


def examples(
    name: str, data: Path, limit: int | None, test_limit: int | None = None, input_size: int | None = None
) -> tuple[object, list[Example], list[Example]]:
    """(task, training, test); where a set has no split, a seeded fifth is the test."""
    spec = SETS[name]
    rows = read(name, spec.train, data)
    test = read(name, spec.test, data) if spec.test else {}
    own = {"ignore_index": VOID, "class_weights": "none"} if spec.task == "segmentation" else {}
    options = own_options("task", spec.task)(name=spec.task, **own)
    kind = plugins.load("tasks", spec.task)
    words = set().union(*(kind.vocabulary(annotation, options) for _, annotation in rows.values()))
    weights = os.environ.get("ALCLI_WEIGHTS", "none")
    task = kind(options, ModelOptions(name=spec.model, weights=weights, input_size=input_size), sorted(words))
    encoded = [_encode(task, rows), _encode(task, test)]
    for part in encoded:
        # The limits then take some of every class.
        random.Random(0).shuffle(part)
    if not test:
        cut = len(encoded[0]) * 4 // 5
        encoded = [encoded[0][:cut], encoded[0][cut:]]
    return task, encoded[0][:limit], encoded[1][:test_limit]


def _encode(task, rows: dict) -> list[Example]:
    found = []
    for name, (path, annotation) in rows.items():
        with contextlib.suppress(DataError):
            found.append(task.encode(Item(name, name, "u"), path, images.inspect(path), annotation))
    return found


def by_alcli(task, training, test, options: TrainOptions) -> dict[str, float]:
    """All metrics after alcli's own training."""
    seed_everything(options.seed)
    model = task.build_model()
    head = LossHead(feature_channels(task, model))
    for report in train(task, model, head, training, options):
        print(f"    epoch {report.epoch}: loss {report.loss:.3f}, ranking loss {report.ranking:.3f}", flush=True)
    return task.evaluate(test, inference.predictions(task, model, test, ScoreOptions(precision=options.precision)))


class Plain(Dataset):
    """Images and targets made with torchvision and PIL alone."""

    def __init__(self, name: str, task, rows: Sequence[Example], training: bool) -> None:
        self.make = {"classification": _labeled, "detection": _boxed, "segmentation": _masked, "pose": _posed}[
            SETS[name].task
        ]
        self.task, self.rows, self.training = task, rows, training

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, row: int):
        return self.make(self.task, self.rows[row], self.training)


def _picture(example: Example, task) -> Tensor:
    size = list(task.input_shape)
    with Image.open(example.path) as image:
        return v2.functional.resize(v2.functional.to_image(image.convert("RGB")), size, antialias=True)


def _float(picture: Tensor) -> Tensor:
    return NORMALISE(v2.functional.to_dtype(picture, torch.float32, scale=True).as_subclass(Tensor))


def _labeled(task, example: Example, training: bool):
    picture = _picture(example, task)
    picture = v2.RandomHorizontalFlip()(picture) if training else picture
    return _float(picture), task.classes.index(example.annotation.labels[0])


def _boxed(task, example: Example, training: bool):
    side = task.input_shape[0]
    scale = torch.tensor([side / example.size[0], side / example.size[1]]).repeat(2)
    corners = torch.tensor([[b.x1, b.y1, b.x2, b.y2] for b in example.annotation.boxes]).view(-1, 4) * scale
    target = {
        "boxes": tv_tensors.BoundingBoxes(corners, format="XYXY", canvas_size=(side, side)),
        "labels": torch.tensor([1 + task.classes.index(b.label) for b in example.annotation.boxes], dtype=torch.int64),
    }
    picture = _picture(example, task)
    if training:
        picture, target = v2.RandomHorizontalFlip()(picture, target)
    target["boxes"] = target["boxes"].as_subclass(Tensor)
    return v2.functional.to_dtype(picture, torch.float32, scale=True).as_subclass(Tensor), target


def _masked(task, example: Example, training: bool):
    numbers = label_map(example.annotation, example.size, task.classes, VOID)
    mask = tv_tensors.Mask(torch.from_numpy(numbers)[None])
    picture = _picture(example, task)
    if training:
        picture, mask = v2.RandomHorizontalFlip()(picture, v2.functional.resize(mask, list(task.input_shape)))
    return _float(picture), mask[0].as_subclass(Tensor).long()


def _posed(task, example: Example, training: bool):
    height, width = task.input_shape
    pose = example.annotation.poses[0]
    box = pose.box
    tall = 1.25 * max(box.y2 - box.y1, (box.x2 - box.x1) * height / width)
    left, top = (box.x1 + box.x2 - tall * width / height) / 2, (box.y1 + box.y2 - tall) / 2
    with Image.open(example.path) as image:
        corners = [round(v) for v in (left, top, left + tall * width / height, top + tall)]
        crop = image.convert("RGB").crop(corners).resize((width, height), Image.Resampling.BILINEAR)
    found = torch.full((len(task.classes), 3), math.nan)
    for joint in pose.keypoints:
        place = ((joint.x - left) * height / tall, (joint.y - top) * height / tall, 1)
        found[task.classes.index(joint.name)] = torch.tensor(place)
    if training and random.random() < 0.5:
        crop = crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        names = [n.replace("left", "?").replace("right", "left").replace("?", "right") for n in task.classes]
        found = found[[task.classes.index(n) for n in names]]
        found[:, 0] = width - found[:, 0]
    return _float(v2.functional.to_image(crop)), torch.cat([found, torch.tensor([[left, top, tall / height]])])


def _cross_entropy(model: nn.Module, pictures: Tensor, targets: Tensor) -> Tensor:
    logits = model(pictures)
    if logits.dim() == 4:
        logits = F.interpolate(logits, size=targets.shape[1:], mode="bilinear")
    return F.cross_entropy(logits, targets, ignore_index=255)


def _ssd(model: nn.Module, pictures: Sequence[Tensor], targets: Sequence[dict]) -> Tensor:
    return sum(model(list(pictures), list(targets)).values())


def _heatmaps(model: nn.Module, pictures: Tensor, targets: Tensor) -> Tensor:
    said = model(pictures)
    x = torch.arange(said.shape[3]) + 0.5 - targets[:, :-1, 0:1] / 4
    y = torch.arange(said.shape[2]) + 0.5 - targets[:, :-1, 1:2] / 4
    wanted = torch.exp(-(y**2) / 8)[..., None] * torch.exp(-(x**2) / 8)[:, :, None, :]
    marked = ~wanted.isnan().flatten(2).any(dim=2)
    return F.mse_loss(said[marked], wanted[marked]) * said.shape[2] * said.shape[3] / (4 * math.pi)


LOSSES: dict[str, Callable] = {
    "classification": _cross_entropy,
    "segmentation": _cross_entropy,
    "detection": _ssd,
    "pose": _heatmaps,
}


def by_plain_loop(name: str, task, training, test, options: TrainOptions) -> dict[str, float]:
    """The metric after a loop as in a tutorial."""
    seed_everything(options.seed)
    random.seed(options.seed)
    model = task.build_model().train()
    kind = SETS[name].task
    collate = (lambda rows: tuple(zip(*rows, strict=True))) if kind == "detection" else None
    alone = len(training) % options.batch_size == 1  # One image has no batch statistics.
    rows = Plain(name, task, training, True)
    loader = DataLoader(rows, options.batch_size, shuffle=True, collate_fn=collate, drop_last=alone)
    optimizer = torch.optim.AdamW(model.parameters(), lr=options.learning_rate, weight_decay=options.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        options.learning_rate,
        total_steps=len(loader) * options.epochs,
        pct_start=options.warmup,
        cycle_momentum=False,
    )
    for _ in range(options.epochs):
        for pictures, targets in loader:
            loss = LOSSES[kind](model, pictures, targets)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), options.gradient_clip)
            optimizer.step()
            schedule.step()
    model.eval()
    with torch.inference_mode():
        return {SETS[name].metric: MEASURES[kind](task, model, test, Plain(name, task, test, False))}


def _top1(task, model: nn.Module, test, rows: Dataset) -> float:
    pairs = [(target, int(model(picture[None]).argmax())) for picture, target in rows]
    return float(accuracy_score(*zip(*pairs, strict=True)))


def _miou(task, model: nn.Module, test, rows: Dataset) -> float:
    count = len(task.classes)
    confusion = np.zeros((count, count))
    for picture, mask in rows:
        inner = F.interpolate(model(picture[None]), size=task.input_shape, mode="bilinear")
        said = F.interpolate(inner, size=mask.shape, mode="bilinear").argmax(dim=1)[0]
        kept = mask != 255
        confusion += confusion_matrix(mask[kept].numpy(), said[kept].numpy(), labels=range(count))
    hits = np.diag(confusion)
    unions = confusion.sum(0) + confusion.sum(1) - hits
    return float((hits[unions > 0] / unions[unions > 0]).mean())


def _ap50(task, model: nn.Module, test, rows: Dataset) -> float:
    truth, found = [], []
    for image, (picture, target) in enumerate(rows, 1):
        said = model([picture])[0]
        for store, part in ((truth, target), (found, said)):
            for place, corners in enumerate(part["boxes"].tolist()):
                x1, y1, x2, y2 = corners
                row = {"image_id": image, "category_id": int(part["labels"][place]), "bbox": [x1, y1, x2 - x1, y2 - y1]}
                extra = {"id": len(store) + 1, "iscrowd": 0, "area": (x2 - x1) * (y2 - y1)}
                store.append({**row, **extra, "score": float(part["scores"][place]) if "scores" in part else 1.0})
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        categories = [{"id": number} for number in range(1, len(task.classes) + 1)]
        ids = [{"id": image} for image in range(1, len(test) + 1)]
        coco.dataset = {"images": ids, "categories": categories, "annotations": truth}
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(found), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return float(evaluation.stats[1])


def _pck(task, model: nn.Module, test, rows: Dataset) -> float:
    hits = []
    for example, (picture, target) in zip(test, rows, strict=True):
        marked = {joint.name: joint for joint in example.annotation.poses[0].keypoints}
        diagonals = [("left_shoulder", "right_hip"), ("right_shoulder", "left_hip")]
        pair = next((pair for pair in diagonals if set(pair) <= set(marked)), None)
        if pair is None:
            continue
        torso = math.hypot(marked[pair[0]].x - marked[pair[1]].x, marked[pair[0]].y - marked[pair[1]].y)
        maps = model(picture[None])[0].flatten(1)
        width = task.input_shape[1] // 4
        left, top, scale = target[-1].tolist()
        for joint in marked.values():
            place = int(maps[task.classes.index(joint.name)].argmax())
            x = left + (place % width + 0.5) * 4 * scale
            y = top + (place // width + 0.5) * 4 * scale
            hits.append(math.hypot(x - joint.x, y - joint.y) <= 0.2 * torso)
    return sum(hits) / len(hits)


MEASURES = {"classification": _top1, "segmentation": _miou, "detection": _ap50, "pose": _pck}


def main() -> None:
    """Train and print the three figures of each set; where there are several seeds, their means and spread."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--tasks", nargs="+", default=list(SETS), choices=SETS, help="sets, one or two a task")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--limit", type=int, help="train on only so many images")
    parser.add_argument("--test-limit", type=int, help="measure on only so many images")
    parser.add_argument("--input-size", type=int, help="side in pixels; default: the model's own")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--loss-weight", type=float, help="λ of the runs with the loss head; default: the task's own")
    parser.add_argument("--precision", default="auto", help="of alcli; the plain loop has float32")
    arguments = parser.parse_args()
    data = Path(os.environ["ALCLI_DATA"])
    for name in arguments.tasks:
        found = examples(name, data, arguments.limit, arguments.test_limit, arguments.input_size)
        _compare(name, *found, arguments)


def _compare(name: str, task, training, test, arguments: argparse.Namespace) -> None:
    metric = SETS[name].metric
    shape = "×".join(map(str, task.input_shape))
    print(
        f"{name}: {len(training)} training and {len(test)} test images, {shape}, {arguments.epochs} epochs", flush=True
    )
    found: dict[str, list[float]] = {"with head": [], "without": [], "plain loop": []}
    for seed in range(arguments.seeds):
        options = TrainOptions(
            epochs=arguments.epochs,
            seed=seed,
            loss_weight=arguments.loss_weight,
            precision=arguments.precision,
            **PLAIN,
        )
        found["with head"].append(by_alcli(task, training, test, options)[metric])
        without = options.model_copy(update={"loss_weight": 0.0})
        found["without"].append(by_alcli(task, training, test, without)[metric])
        found["plain loop"].append(by_plain_loop(name, task, training, test, options)[metric])
        shown = ", ".join(f"{how} {values[-1]:.4f}" for how, values in found.items())
        print(f"  {name} seed {seed}: {metric}: {shown}", flush=True)
    means = ", ".join(f"{how} {_mean(values)}" for how, values in found.items())
    cost = _mean([one - other for one, other in zip(found["with head"], found["without"], strict=True)], "+")
    gap = _mean([one - other for one, other in zip(found["without"], found["plain loop"], strict=True)], "+")
    print(f"{name}: {metric}: {means}; with − without {cost}, without − plain {gap}", flush=True)


def _mean(values: Sequence[float], sign: str = "") -> str:
    """Mean and, of several, their standard deviation."""
    spread = f" ± {statistics.stdev(values):.4f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):{sign}.4f}{spread}"


if __name__ == "__main__":
    main()
