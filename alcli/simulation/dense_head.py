"""A small head on a frozen trunk's maps, trained in seconds: detection, segmentation and pose."""

from __future__ import annotations

import copy
import functools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from sklearn.model_selection import KFold
from torch import Tensor, nn

from alcli.annotations import Annotation
from alcli.artifacts.configured_task import make_task
from alcli.config import Config
from alcli.engine.training import seed_everything
from alcli.models.cells import MemorizedTrunk
from alcli.models.loss_head import LossHead
from alcli.simulation.dense_maps import MIRROR, PLAIN, POOL, DenseMaps
from alcli.simulation.labels import Labels
from alcli.simulation.linear_head import FOLDS, fit_loss_head
from alcli.tasks import Batch, Example, Task

FEWEST_UPDATES, MOST_UPDATES = 100, 1000
"""A head makes 100 updates, and one more for each image, so that every image is seen about 16 times."""
BATCH, RATE, DECAY, WARMUP = 16, 1e-2, 1e-4, 10
AVERAGING = 0.97
"""Decay of the moving average of the weights."""
CHUNK = 64


@dataclass(frozen=True)
class Start:
    """A head by the seed and the items that it was trained on."""

    key: tuple[int, tuple[str, ...]]
    head: nn.Module


@dataclass
class DenseLearner:
    """Trains the task's frozen head with the task's own loss, on maps and their mirror images.

    AdamW with a cosine schedule; the moving average of the weights is the result.
    """

    config: Config
    labels: Labels
    maps: DenseMaps
    _start: Start | None = field(default=None, init=False, repr=False)

    def learn(self, item_ids: Sequence[str], needs: frozenset[str], seed: int, before: DenseModel | None) -> DenseModel:
        """Train on these items of the pool; with the loss head where ``predicted_loss`` is needed."""
        examples = [self.examples[item_id] for item_id in item_ids]
        if before is not None:
            before.previous = None  # only the previous model is compared
        model = DenseModel(self, self._first(examples, seed) if before is None else self._train(examples, seed), before)
        if "predicted_loss" in needs:
            model.loss_head = self._learn_losses(examples, seed)
        return model

    def show(self, model: nn.Module, examples: Sequence[Example], view: str) -> Batch:
        """Give a head the maps of these images; returns them as a batch."""
        memory = next(part for part in model.modules() if isinstance(part, MemorizedTrunk))
        memory.maps = self.maps.rows([example.item.id for example in examples], view)
        return self.maps.batch(examples, view, self.task.input_shape)

    def _first(self, examples: Sequence[Example], seed: int) -> nn.Module:
        """The head of a run's first cycle, which all strategies of one seed share."""
        key = seed, tuple(example.item.id for example in examples)
        if self._start is None or self._start.key != key:
            self._start = Start(key, self._train(examples, seed))
        return self._start.head

    def _train(self, examples: Sequence[Example], seed: int) -> nn.Module:
        seed_everything(seed)
        rng = np.random.default_rng(seed)
        head: nn.Module = self.task.frozen_head(self.maps.shapes)  # type: ignore[attr-defined]
        head = head.to(memory_format=torch.channels_last).train()
        average = copy.deepcopy(head)
        optimizer = torch.optim.AdamW(head.parameters(), RATE, weight_decay=DECAY, fused=True)
        updates = min(FEWEST_UPDATES + len(examples), MOST_UPDATES)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, partial(_rate, updates=updates))
        for step, picks in zip(range(updates), _endless(len(examples), rng), strict=False):
            view = MIRROR if rng.random() < 0.5 else PLAIN
            losses, _ = self.task.losses(head, self.show(head, [examples[pick] for pick in picks], view))
            optimizer.zero_grad(set_to_none=True)
            losses.mean().backward()
            optimizer.step()
            schedule.step()
            _move(average, head, min(AVERAGING, (1 + step) / (10 + step)))
        return average.eval()

    def _learn_losses(self, examples: Sequence[Example], seed: int) -> LossHead:
        """Train a loss head by the ranking loss of its form (``train.loss_head``).

        A head that has seen an image says little about its loss, so the true losses come from 3-fold cross-validation.
        """
        losses = torch.zeros(len(examples))
        if len(examples) >= FOLDS:
            for kept, left in KFold(FOLDS, shuffle=True, random_state=seed).split(examples):
                head = self._train([examples[index] for index in kept], seed)
                for part in _chunks(left.tolist()):
                    with torch.inference_mode():
                        losses[part] = self.task.losses(
                            head, self.show(head, [examples[index] for index in part], PLAIN)
                        )[0]
        maps = self.pooled([example.item.id for example in examples])
        return fit_loss_head(maps, losses, self.config.train, seed)

    def pooled(self, item_ids: Sequence[str]) -> list[Tensor]:
        """The means of all maps, as maps of one pixel: [(k, C_i, 1, 1)]; each channel has standard deviation 1."""
        return [torch.from_numpy(part)[:, :, None, None] for part in self.maps.pooled(item_ids)]

    @functools.cached_property
    def task(self) -> Task:
        """The task with all classes."""
        return make_task(self.config, self.labels.classes)

    @functools.cached_property
    def examples(self) -> dict[str, Example]:
        """The pool by item id."""
        return {example.item.id: example for example in self.labels.pool}


@dataclass
class DenseModel:
    """A trained head, as a simulation asks it."""

    learner: DenseLearner
    head: nn.Module
    previous: DenseModel | None = None
    loss_head: LossHead | None = None

    def signals(self, item_ids: Sequence[str], names: frozenset[str]) -> dict[str, np.ndarray]:
        """The signals of these items, by the task's own formulas."""
        arrays: dict[str, np.ndarray] = {}
        if "embedding" in names:
            arrays["embedding"] = np.stack([self.learner.maps.embeddings[item_id] for item_id in item_ids])
        with torch.inference_mode():
            if "predicted_loss" in names and self.loss_head is not None:
                arrays["predicted_loss"] = self.loss_head(self.learner.pooled(item_ids)).numpy()
            of_outputs = names - {"embedding", "predicted_loss", "output_discrepancy"}
            examples = [self.learner.examples[item_id] for item_id in item_ids]
            parts = [self._signals(chunk, of_outputs) for chunk in _chunks(examples)] if of_outputs else []
            arrays |= {name: torch.cat([part[name] for part in parts]).numpy() for name in of_outputs}
            if "output_discrepancy" in names:
                changes = [self._discrepancy(chunk) for chunk in _chunks(examples)]
                arrays["output_discrepancy"] = torch.cat(changes).numpy()
        return arrays

    def metrics(self) -> dict[str, float]:
        """The task's metrics on the test images."""
        task, test = self.learner.task, self.learner.labels.test
        predictions: list[Annotation] = []
        with torch.inference_mode():
            for chunk in _chunks(test):
                predictions += task.predictions(self.head, self.learner.show(self.head, chunk, PLAIN))
        return task.evaluate(test, predictions)

    def _signals(self, examples: Sequence[Example], names: frozenset[str]) -> dict[str, Tensor]:
        return self.learner.task.signals(self.head, self.learner.show(self.head, examples, POOL), names)[0]

    def _discrepancy(self, examples: Sequence[Example]) -> Tensor:
        if self.previous is None:
            return torch.zeros(len(examples))
        batch = self.learner.show(self.previous.head, examples, POOL)
        self.learner.show(self.head, examples, POOL)
        return self.learner.task.discrepancy(self.head, self.previous.head, batch)


def _chunks(rows: Sequence[Any]) -> Iterator[Sequence[Any]]:
    return (rows[start : start + CHUNK] for start in range(0, len(rows), CHUNK))


def _rate(step: int, updates: int) -> float:
    """Factor of the learning rate: a short linear rise, then cosine."""
    if step < WARMUP:
        return (step + 1) / (WARMUP + 1)
    return 0.5 * (1 + math.cos(math.pi * (step - WARMUP) / (updates - WARMUP)))


def _endless(count: int, rng: np.random.Generator) -> Iterator[list[int]]:
    """Batches of positions, every position once before any comes again."""
    size = min(BATCH, count)
    rest: list[int] = []
    while True:
        while len(rest) < size:
            rest += rng.permutation(count).tolist()
        yield rest[:size]
        rest = rest[size:]


def _move(average: nn.Module, model: nn.Module, decay: float) -> None:
    with torch.no_grad():
        for ours, theirs in zip(average.state_dict().values(), model.state_dict().values(), strict=True):
            if ours.dtype.is_floating_point:
                ours.lerp_(theirs, 1 - decay)
            else:
                ours.copy_(theirs)
