"""Predictions made elsewhere, asked like a model: signals, predictions and losses of any image that they cover."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from alcli.annotations import Annotation
from alcli.artifacts.kept_predictions import KeptPredictions
from alcli.artifacts.predictor import ItemLoss, Part
from alcli.artifacts.trained import TrainedModel, before_any_label
from alcli.artifacts.trainings import accepted_models
from alcli.context import Context
from alcli.errors import AlcliError, DataError, UsageError
from alcli.images import inspect
from alcli.items import Item, Refusal
from alcli.models import uncertainty
from alcli.predictions import ImagePrediction, to_annotation
from alcli.predictions.measures import key_for
from alcli.signals import UNCERTAINTIES, Signals
from alcli.system.progress import Advance
from alcli.tasks import Example, Task
from alcli.workspace.records import StepRecord, Training

EMBEDDING = "embedding"
PER_CLASS = ("class_scores", "class_uncertainty")
TRUNK = "trunk"
"""In a training's signals: embeddings come from the pretrained network of the task."""


class GivenPredictions:
    """The predictions that one cycle has kept.

    Args:
        embeddings: by item id, where they lie in a file of their own.
    """

    def __init__(
        self,
        context: Context,
        task: Task,
        record: StepRecord[Training],
        path: Path,
        embeddings: dict[str, np.ndarray] | None = None,
    ) -> None:
        self.task, self.record = task, record
        self._context, self._kept, self._embeddings = context, KeptPredictions(path), embeddings

    @property
    def signal_names(self) -> frozenset[str]:
        """What the keys of the file give, and embeddings of the pretrained network where there is one."""
        return signals_of(self.record.summary)

    @property
    def computed_by(self) -> str:
        """Whoever wrote the file; the pretrained network's embeddings are this machine's."""
        return self._trunk.computed_by if self._uses_trunk else ""

    def lacks(self, missing: Collection[str]) -> AlcliError:
        """The error that names the key of each signal."""
        task = self._context.config.task.name
        keys = "; ".join(f"{name} is given by {key_for(name, task)}" for name in sorted(missing))
        hint = " or name pretrained weights (--set model.weights=imagenet)" if EMBEDDING in missing else ""
        return UsageError(
            f"The predictions give no {', '.join(sorted(missing))}.",
            do=f"Write the key into each line ({keys}){hint}, or choose another strategy: `alcli list strategies`.",
        )

    def unknown(self, items: Sequence[Item], names: frozenset[str]) -> Sequence[Item]:
        """The items without a prediction; where only embeddings count, those without an embedding."""
        missing = [item for item in items if item.id not in self._kept]
        if names != {EMBEDDING}:
            return missing
        if self._uses_trunk:
            return []
        return [item for item in missing if item.id not in (self._embeddings or {})]

    def needs_images(self, names: frozenset[str]) -> bool:
        """Only where the pretrained network computes embeddings."""
        return EMBEDDING in names and self._uses_trunk

    def signals(self, examples: Sequence[Example], names: frozenset[str], advance: Advance) -> Iterator[Part]:
        """Read the lines; NaN where a line lacks what the others have."""
        size = self._context.config.score.shard
        own = names - {EMBEDDING} if self.needs_images(names) else names
        vectors = self._trunk_embeddings(examples, advance) if self.needs_images(names) else None
        for start in range(0, len(examples), size):
            part = examples[start : start + size]
            signals, refusals = self._part(part, own), list[Refusal]()
            if vectors is None:
                advance(len(part))
            else:
                embedded, refusals = next(vectors)
                rows = {item_id: row for row, item_id in enumerate(signals.item_ids)}
                signals = signals.take(np.array([rows[item_id] for item_id in embedded.item_ids], dtype=np.int64))
                signals = Signals(signals.item_ids, {**signals.arrays, EMBEDDING: embedded[EMBEDDING]})
            yield signals, list(refusals)

    def predictions(self, examples: Sequence[Example]) -> Iterator[Annotation]:
        """In pixels of the upright image; an image whose line lacks what the task predicts is left out."""
        size = self._context.config.score.shard
        for start in range(0, len(examples), size):
            part = examples[start : start + size]
            lines = self._kept.read([example.item.id for example in part])
            for example in part:
                if example.item.id in lines and self._tells(lines[example.item.id]):
                    yield self._annotation(example, lines[example.item.id])

    def losses(self, examples: Sequence[Example]) -> list[ItemLoss]:
        """1 − the task's metric on each image (classification: −log p), and its most telling uncertainty."""
        predictions = {prediction.item_id: prediction for prediction in self.predictions(examples)}
        judged = [example for example in examples if example.item.id in predictions]
        name = next((name for name in ("predicted_loss", *UNCERTAINTIES) if name in self.signal_names), None)
        if name is None or not judged:
            return []
        uncertainties = self._part(judged, frozenset({name}))[name].tolist()
        losses = []
        for example, uncertain in zip(judged, uncertainties, strict=True):
            true = self._loss(example, predictions[example.item.id])
            if true is not None and np.isfinite(uncertain):
                losses.append((example.item.id, true, float(uncertain)))
        return losses

    def earlier(self, cycle: int) -> GivenPredictions | None:
        """The newest other predictions of the same learner."""
        for record in accepted_models(self._context, cycle):
            same = record.summary.learner == self.record.summary.learner
            if same and record.file and record.file.is_file():
                path = self._context.workspace.verify_file(record)
                return GivenPredictions(self._context, self.task, record, path)
        return None

    @property
    def _uses_trunk(self) -> bool:
        return TRUNK in self.record.summary.signals

    def _part(self, examples: Sequence[Example], names: frozenset[str]) -> Signals:
        ids = [example.item.id for example in examples]
        lines = self._kept.read(ids)
        rows = [self._values(item_id, lines.get(item_id), names) for item_id in ids]
        return Signals(ids, {name: self._stack(name, [row.get(name) for row in rows]) for name in names})

    def _values(self, item_id: str, line: ImagePrediction | None, names: frozenset[str]) -> dict[str, Any]:
        values: dict[str, Any] = {}
        if line is not None:
            values = {**derived_signals(self.task, line), **line.signals}
            if line.embedding is not None:
                values[EMBEDDING] = line.embedding
        if self._embeddings is not None and item_id in self._embeddings:
            values[EMBEDDING] = self._embeddings[item_id]
        return {name: values[name] for name in names if name in values}

    def _stack(self, name: str, values: Sequence[Any]) -> np.ndarray:
        known = [np.asarray(value) for value in values if value is not None]
        width = len(self.task.classes) if name in PER_CLASS else len(known[0]) if known and known[0].ndim else 0
        blank = np.full(width, np.nan) if width else np.nan
        rows = [blank if value is None or np.size(value) != max(width, 1) else value for value in values]
        array = np.array(rows, dtype=np.float32).reshape((len(values), width) if width else (len(values),))
        if name != EMBEDDING:
            return array
        return uncertainty.embedding(torch.from_numpy(array)).numpy() if len(array) else array.astype(np.float16)

    def _trunk_embeddings(self, examples: Sequence[Example], advance: Advance) -> Iterator[Part]:
        return self._trunk.signals(examples, frozenset({EMBEDDING}), advance)

    @cached_property
    def _trunk(self) -> TrainedModel:
        from alcli.artifacts.starting_weights import settle_weights

        return TrainedModel(self._context, *before_any_label(settle_weights(self._context).config), self.record)

    def _tells(self, line: ImagePrediction) -> bool:
        part = PREDICTED.get(self._context.config.task.name)
        return part is None or getattr(line, part) is not None

    def _annotation(self, example: Example, line: ImagePrediction) -> Annotation:
        subject = str(getattr(self._context.config.options_of("task"), "subject", "person"))
        annotation = to_annotation(line, example.item.id, self.task.classes, subject)
        if not getattr(self.task, "several_labels", False):
            annotation = replace(annotation, labels=annotation.labels[:1], label_scores=annotation.label_scores[:1])
        size = example.size or annotation.size or self._size(example)
        return replace(annotation.in_pixels(*size), size=size) if size else annotation

    def _size(self, example: Example) -> tuple[int, int] | None:
        known = self._sizes.get(example.item.id)
        if known is None and example.path.is_file():
            try:
                facts = inspect(example.path)
            except DataError:
                return None
            known = (facts.width, facts.height)
        return known

    @cached_property
    def _sizes(self) -> dict[str, tuple[int, int]]:
        images = self._context.workspace.store.images()
        return {item_id: (facts.width, facts.height) for item_id, (_, facts) in images.items()}

    def _loss(self, example: Example, prediction: Annotation) -> float | None:
        if prediction.label_scores and example.annotation and not getattr(self.task, "several_labels", False):
            line = self._kept.read([example.item.id])[example.item.id]
            scores = derived_signals(self.task, line).get("class_scores", np.zeros(len(self.task.classes)))
            wanted = self.task.classes.index(example.annotation.labels[0])
            return float(-np.log(max(float(scores[wanted]), 1e-6)))
        try:
            return 1 - next(iter(self.task.evaluate([example], [prediction]).values()))
        except DataError:
            return None  # nothing on the image to measure


PREDICTED = {
    "classification": "probabilities",
    "detection": "boxes",
    "pose": "people",
    "segmentation": "masks",
}
"""The part of a line without which a task has no prediction."""


def derived_signals(task: Task, line: ImagePrediction) -> dict[str, np.ndarray]:
    """What the task computes from a prediction; nothing for a task of another package that does not."""
    derive = getattr(task, "given_signals", None)
    return derive(line) if derive is not None else {}


def signals_of(training: Training) -> frozenset[str]:
    """The signals that the predictions of a training give."""
    names = frozenset(training.signals)
    return names - {TRUNK} | {EMBEDDING} if TRUNK in names else names
