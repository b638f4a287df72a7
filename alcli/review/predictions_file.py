"""The predictions of a model as a file that other programs, and alcli itself, can read."""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from alcli.annotations import Annotation
from alcli.artifacts.local_images import fetch_images
from alcli.artifacts.predictor import Predictor
from alcli.context import Context
from alcli.items import Item, Refusal
from alcli.predictions import Boxes, ImagePrediction
from alcli.predictions.lines import Header, to_line, write_header
from alcli.signals import Signals
from alcli.system.files import SHARED, atomic_write
from alcli.tasks import Example

COMPARING = "output_discrepancy"
"""The signal that compares two models; a file holds those of one."""
PROBABILITIES = "class_scores"


def write_file(context: Context, predictor: Predictor, items: Sequence[Item], path: Path) -> list[Refusal]:
    """Write what a model says about these items, with all its signals; returns those that cannot be looked at.

    Args:
        path: compressed where it ends in ``.gz``; the file appears whole or not at all.
    """
    paths, refusals = fetch_images(context, items)
    examples = [Example(item, paths[item.id]) for item in items if item.id in paths]
    header = Header(tuple(predictor.task.classes))
    names = predictor.signal_names - {COMPARING}
    with context.progress.track("Predicting", len(examples)) as advance, atomic_write(path, "wb", SHARED) as stream:
        # Without a time in its header: equal predictions give equal bytes.
        packed = gzip.GzipFile("", "wb", fileobj=stream, mtime=0) if path.suffix == ".gz" else stream
        text = io.TextIOWrapper(packed, encoding="utf-8", newline="")
        write_header(text, header, predictor.record.summary.model)
        size = context.config.score.shard
        for number, (signals, refused) in enumerate(predictor.signals(examples, names, advance)):
            refusals += refused
            part = examples[number * size : (number + 1) * size]
            for prediction in _predictions(context, predictor, part, signals):
                text.write(to_line(prediction, header.classes) + "\n")
        text.detach()
        if packed is not stream:
            packed.close()
    return refusals


def _predictions(
    context: Context, predictor: Predictor, examples: Sequence[Example], signals: Signals
) -> Iterator[ImagePrediction]:
    annotations = {annotation.item_id: annotation for annotation in predictor.predictions(examples)}
    rows = {item_id: row for row, item_id in enumerate(signals.item_ids)}
    classes = tuple(predictor.task.classes)
    for example in examples:
        item = example.item
        if item.id in rows and item.id in annotations:
            values = {name: array[rows[item.id]] for name, array in sorted(signals.arrays.items())}
            values = {name: value for name, value in values.items() if np.isfinite(value).all()}
            name = f"{item.folder}/{item.name}" if item.folder else item.name
            labels = context.config.task.name == "classification"
            yield _prediction(name, classes, annotations[item.id], values, labels)


def _prediction(
    name: str, classes: tuple[str, ...], annotation: Annotation, values: dict[str, np.ndarray], labels: bool
) -> ImagePrediction:
    boxes = annotation.boxes
    corners = np.array([[box.x1, box.y1, box.x2, box.y2] for box in boxes]).reshape(-1, 4)
    scores = np.array([box.score or 0.0 for box in boxes])
    whole = not (labels or annotation.poses or annotation.masks)
    return ImagePrediction(
        name,
        classes=classes,
        size=annotation.size,
        boxes=Boxes([box.label for box in boxes], corners, scores) if whole else None,
        probabilities=values[PROBABILITIES].astype(np.float64) if labels and PROBABILITIES in values else None,
        people=[
            {joint.name: (joint.x, joint.y, min(max(joint.score or 0.0, 0.0), 1.0)) for joint in pose.keypoints}
            for pose in annotation.poses
        ]
        if annotation.poses
        else None,
        masks={mask.label: mask for mask in annotation.masks} if annotation.masks else None,
        embedding=values.pop("embedding", None),
        signals=values,
    )
