"""The folder that your own program gets: labeled images, annotations as COCO and YOLO, lists, settings.

::

    images/            links to every image, by its name below the project's images
    train.json         COCO: annotated images to learn from (detection, pose, segmentation)
    labels/            YOLO: one text file per annotated image (detection)
    data.yaml          YOLO: names, train and val as lists of images (detection)
    labels.csv         name,label of the annotated images to learn from (classification)
    train.txt held_out.txt pool.txt    one image per line, as ./images/NAME, which Ultralytics finds from anywhere
    settings.json      task, classes, cycle, seed, predictions (the file to write), previous_weights
    weights/           yours: kept, and given to the next cycle as previous_weights
    predictions.jsonl  to be written: a line for every image of pool.txt and held_out.txt
"""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from alcli.annotations import Annotation
from alcli.artifacts.examples import Examples
from alcli.artifacts.local_images import fetch_images
from alcli.context import Context
from alcli.items import UNLABELED, Item
from alcli.system.files import SHARED, atomic_write
from alcli.tasks import Example

PREDICTIONS = "predictions.jsonl"
WEIGHTS = "weights"
FOLDER_AT_MOST = 200
"""Letters of an image's name that are kept."""


def write_exchange(context: Context, folder: Path, cycle: int, examples: Examples, previous: Path | None) -> None:
    """Write everything that the program reads; its own files from an interrupted run are removed."""
    if folder.exists():
        shutil.rmtree(folder)
    (folder / "images").mkdir(parents=True)
    (folder / WEIGHTS).mkdir()
    pool = context.workspace.store.pool().in_state(UNLABELED)
    paths, _ = fetch_images(context, pool)
    places = _link(folder, [*pool, *(example.item for example in (*examples.training, *examples.held_out))], {
        **paths, **{example.item.id: example.path for example in (*examples.training, *examples.held_out)}
    })  # fmt: skip
    lists = {
        "train": [example.item for example in examples.training],
        "held_out": [example.item for example in examples.held_out],
        "pool": pool,
    }
    for name, items in lists.items():
        _write(folder / f"{name}.txt", "".join(f"./images/{places[i.id]}\n" for i in items if i.id in places))
    _write_annotations(context, folder, examples, places)
    settings = {
        "task": context.config.task.name,
        "classes": list(examples.classes),
        "cycle": cycle,
        "seed": context.config.train.seed,
        "predictions": PREDICTIONS,
        "weights": WEIGHTS,
        "previous_weights": str(previous) if previous else None,
    }
    _write(folder / "settings.json", json.dumps(settings, indent=2) + "\n")


def _write(path: Path, text: str) -> None:
    with atomic_write(path, permissions=SHARED) as stream:
        stream.write(text)


def _link(folder: Path, items: Sequence[Item], paths: Mapping[str, Path]) -> dict[str, str]:
    """Link every image under its name; returns the name below ``images`` by item id."""
    places = {}
    for item in items:
        if item.id not in paths:
            continue
        parts = [part for part in PurePosixPath(item.folder, item.name).parts if part not in ("/", "..", ".")]
        place = "/".join(part[-FOLDER_AT_MOST:] for part in parts)
        link = folder / "images" / place
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(paths[item.id].resolve())
        places[item.id] = place
    return places


def _write_annotations(context: Context, folder: Path, examples: Examples, places: Mapping[str, str]) -> None:
    task = context.config.task.name
    if task == "classification":
        stream = io.StringIO(newline="")
        rows = csv.writer(stream, lineterminator="\n")
        rows.writerow(("name", "label"))
        for example in examples.training:
            for label in example.annotation.labels if example.annotation else ():
                rows.writerow((places[example.item.id], label))
        _write(folder / "labels.csv", stream.getvalue())
        return
    _write(folder / "train.json", json.dumps(_coco(examples.training, examples.classes, places, task)))
    if task == "detection":
        _write_yolo(folder, examples, places)


def _coco(examples: Sequence[Example], classes: Sequence[str], places: Mapping[str, str], task: str) -> dict[str, Any]:
    names = ["person"] if task == "pose" else list(classes)
    numbers = {name: number for number, name in enumerate(names, 1)}
    images, entries = [], []
    for number, example in enumerate(examples, 1):
        width, height = example.size or (0, 0)
        images.append({"id": number, "file_name": places[example.item.id], "width": width, "height": height})
        if example.annotation is not None:
            entries += [{"image_id": number, **entry} for entry in _entries(example.annotation, numbers, classes)]
    categories: list[dict[str, Any]] = [{"id": number, "name": name} for name, number in numbers.items()]
    if task == "pose":
        categories[0]["keypoints"] = list(classes)
    listed = [{"id": number, "iscrowd": 0, **entry} for number, entry in enumerate(entries, 1)]
    return {"images": images, "categories": categories, "annotations": listed}


def _entries(annotation: Annotation, numbers: Mapping[str, int], joints: Sequence[str]) -> list[dict[str, Any]]:
    """Boxes, people and regions of one image as COCO entries, without ids."""
    entries: list[dict[str, Any]] = []
    for box in annotation.boxes:
        width, height = box.x2 - box.x1, box.y2 - box.y1
        place = [box.x1, box.y1, width, height]
        entries.append({"category_id": numbers[box.label], "bbox": place, "area": width * height})
    for pose in annotation.poses:
        marked = {joint.name: joint for joint in pose.keypoints}
        triples = [(marked[n].x, marked[n].y, 1 + marked[n].visible) if n in marked else (0, 0, 0) for n in joints]
        flat = [value for triple in triples for value in triple]
        entry: dict[str, Any] = {"category_id": 1, "keypoints": flat, "num_keypoints": len(marked)}
        if pose.box:
            entry["bbox"] = [pose.box.x1, pose.box.y1, pose.box.x2 - pose.box.x1, pose.box.y2 - pose.box.y1]
        entries.append(entry)
    for polygon in annotation.polygons:
        if polygon.label in numbers:
            rings = [list(ring) for ring in polygon.rings]
            entries.append({"category_id": numbers[polygon.label], "segmentation": rings})
    for mask in annotation.masks:
        if mask.label in numbers:
            rle = {"size": [mask.size[1], mask.size[0]], "counts": mask.counts}
            entries.append({"category_id": numbers[mask.label], "segmentation": rle})
    return entries


def _write_yolo(folder: Path, examples: Examples, places: Mapping[str, str]) -> None:
    index = {name: number for number, name in enumerate(examples.classes)}
    for example in (*examples.training, *examples.held_out):
        width, height = example.size or (1, 1)
        path = folder / "labels" / PurePosixPath(places[example.item.id]).with_suffix(".txt")
        path.parent.mkdir(parents=True, exist_ok=True)
        boxes = example.annotation.boxes if example.annotation else ()
        lines = [
            f"{index[box.label]} {(box.x1 + box.x2) / 2 / width:.6f} {(box.y1 + box.y2) / 2 / height:.6f}"
            f" {(box.x2 - box.x1) / width:.6f} {(box.y2 - box.y1) / height:.6f}\n"
            for box in boxes
        ]
        path.write_text("".join(lines), encoding="utf-8")
    content = {
        "path": str(folder),
        "train": "train.txt",
        "val": "held_out.txt",
        "names": dict(enumerate(examples.classes)),
    }
    _write(folder / "data.yaml", yaml.safe_dump(content, allow_unicode=True, sort_keys=False))
