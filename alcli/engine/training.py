"""The one training loop of all tasks: task losses, the loss head's ranking loss, and a schedule."""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import nn

from alcli.config import TrainOptions
from alcli.engine.device import device, training_precision
from alcli.engine.loading import batches
from alcli.engine.training_state import Learner, Position, TrainingState
from alcli.errors import DataError
from alcli.items import Refusal
from alcli.models.loss_head import LossHead, total_loss
from alcli.tasks import Batch, Example, Task

NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
NORM_BATCHES = 200
"""So many batches are enough to know the mean and variance of a layer."""


@dataclass(frozen=True)
class EpochReport:
    """Means over the images of one epoch.

    Attributes:
        epoch: from 1. loss: the task's mean per-item loss. ranking: the loss head's ranking loss.
        refusals: images that could not be loaded.
    """

    epoch: int
    epochs: int
    images: int
    loss: float
    ranking: float
    refusals: Sequence[Refusal]


class Diverged(Exception):
    """The loss is not a number any more; the model is worthless."""


def feature_channels(task: Task, model: nn.Module) -> tuple[int, ...]:
    """Channels of the feature maps that the task hands to the loss head."""
    blank = Batch([], torch.zeros(1, 3, *task.input_shape, dtype=torch.uint8), [], [])
    was_training = model.training
    with torch.inference_mode():
        channels = tuple(feature.shape[1] for feature in task.features(model.eval(), blank))
    model.train(was_training)
    return channels


class Checkpoints(Protocol):
    """Where a training is remembered, so that it can go on after an interruption."""

    def due(self, steps: int) -> bool:
        """Whether the state after so many steps is wanted."""
        ...

    def keep(self, state: TrainingState) -> None:
        """Remember a state; may raise to stop the training there."""
        ...


def train(
    task: Task,
    model: nn.Module,
    loss_head: LossHead,
    examples: Sequence[Example],
    options: TrainOptions,
    checkpoints: Checkpoints | None = None,
    state: TrainingState | None = None,
) -> Iterator[EpochReport]:
    """Train model and loss head in place, one report an epoch; the caller prints, saves, stops.

    The ranking loss reaches the model until ``detach_after`` of the epochs, then only the loss head (Yoo & Kweon 2019,
    section 3.2). Same seed, examples and machine: same weights, whatever the number of workers.

    Args:
        checkpoints: asked after each step.
        state: where an earlier call stood; on the same machine what follows is bit for bit what would have followed.

    Raises:
        DataError: there is nothing to train on.
        Diverged: a loss became infinite or not a number.
    """
    if not examples:
        raise DataError("There is no annotated image to train on.")
    if options.loss_weight is None:
        options = options.model_copy(update={"loss_weight": task.loss_weight})
    seed_everything(options.seed)
    learner = _learner(task, model, loss_head, len(examples), options)
    position = Position()
    if state is not None:
        learner.restore(state)
        position = state.position
    per_epoch = math.ceil(len(examples) / options.batch_size)
    stream = batches(
        task,
        examples,
        lambda epoch: _order(len(examples), options, epoch),
        options.workers,
        options.epochs,
        options.augment,
        options.seed,
        (position.epoch, position.batches),
    )
    for epoch in range(position.epoch, options.epochs):
        _set_modes(task, model, loss_head, options)
        detached = epoch >= options.detach_after * options.epochs
        for batch, refused in itertools.islice(stream, per_epoch - position.batches):
            sums = np.array(position.sums)
            if batch is not None:
                sums += _step(task, learner, batch, options, detached)
                learner.scheduler.step()
            images, loss, ranking = sums.tolist()
            refusals = (*position.refusals, *refused)
            position = Position(epoch, position.batches + 1, (images, loss, ranking), refusals)
            if checkpoints is not None and checkpoints.due(epoch * per_epoch + position.batches):
                checkpoints.keep(learner.capture(position))
        images, loss, ranking = position.sums
        if images == 0:
            raise DataError("Not one annotated image could be loaded.", do="See `alcli list quarantine`.")
        if epoch + 1 == options.epochs:
            settle_norms(task, model, examples, options)
            _check_finite(model, loss_head)
        yield EpochReport(epoch + 1, options.epochs, int(images), loss / images, ranking / images, position.refusals)
        position = Position(epoch + 1)


def _learner(task: Task, model: nn.Module, loss_head: LossHead, count: int, options: TrainOptions) -> Learner:
    model.to(device()).to(memory_format=torch.channels_last)
    loss_head.to(device())
    task.backbone(model).requires_grad_(not options.freeze_backbone)
    optimizer = _optimizer(model, loss_head, options)
    steps = math.ceil(count / options.batch_size) * options.epochs
    return Learner(model, loss_head, optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, _schedule(options, steps)))


def _set_modes(task: Task, model: nn.Module, loss_head: LossHead, options: TrainOptions) -> None:
    model.train()
    loss_head.train()
    if options.freeze_backbone:
        task.backbone(model).eval()


def _check_finite(*modules: nn.Module) -> None:
    # The last update is not followed by a loss that would show it.
    if not all(bool(torch.isfinite(value).all()) for module in modules for value in module.state_dict().values()):
        raise Diverged


def settle_norms(task: Task, model: nn.Module, examples: Sequence[Example], options: TrainOptions) -> None:
    """Measure the batch norms' mean and variance anew, with the final weights.

    A short training leaves running averages of networks that no longer are; a deep network then computes with them
    something else than it was trained to do, up to infinity. Norms that stand still (a frozen backbone's) stay as they
    are. Wu & Johnson, "Rethinking Batch in BatchNorm", 2021, section 3 ("precise BN").
    """
    norms = [module for module in model.modules() if isinstance(module, NORMS) and module.training]
    order = [batch for batch in _order(len(examples), options, 0) if len(batch) > 1][:NORM_BATCHES]
    if not norms or not order:
        return
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain average over all batches
    for batch, _ in batches(task, examples, lambda _: order, options.workers):
        if batch is not None and len(batch.examples) > 1:
            with torch.no_grad(), training_precision(options.precision):
                task.losses(model, batch)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


def seed_everything(seed: int) -> None:
    """Seed every generator that training draws from."""
    torch.manual_seed(seed)
    np.random.seed(seed % 2**32)


def _step(task: Task, learner: Learner, batch: Batch, options: TrainOptions, detached: bool) -> np.ndarray:
    """One update; returns (images, summed loss, summed ranking loss)."""
    model, loss_head, count = learner.model, learner.loss_head, len(batch.examples)
    with _steady_norms(model, count), training_precision(options.precision):
        losses, features = task.losses(model, batch)
    losses = losses.float()
    predicted = loss_head([feature.detach() for feature in features] if detached else features)
    weight = options.loss_weight or 0.0
    total = total_loss(losses, predicted, weight, options.margin)
    if not torch.isfinite(total):
        raise Diverged
    learner.optimizer.zero_grad(set_to_none=True)
    total.backward()
    nn.utils.clip_grad_norm_([*model.parameters(), *loss_head.parameters()], options.gradient_clip)
    learner.optimizer.step()
    loss = float(losses.detach().mean())
    ranking = (float(total.detach()) - loss) / weight if weight else 0.0
    return np.array([count, count * loss, count * ranking])


@contextlib.contextmanager
def _steady_norms(model: nn.Module, count: int) -> Iterator[None]:
    """One image has no batch statistics worth the name: batch norms then use, and keep, their running ones."""
    norms = [module for module in model.modules() if isinstance(module, NORMS) and module.training]
    if count > 1:
        norms = []
    for norm in norms:
        norm.eval()
    yield
    for norm in norms:
        norm.train()


def _order(count: int, options: TrainOptions, epoch: int) -> list[list[int]]:
    """The batches of one epoch as positions; every example once, an odd rest as a smaller last batch."""
    shuffled = np.random.default_rng((options.seed, epoch)).permutation(count).tolist()
    return [shuffled[start : start + options.batch_size] for start in range(0, count, options.batch_size)]


def _optimizer(model: nn.Module, loss_head: LossHead, options: TrainOptions) -> torch.optim.Optimizer:
    """AdamW or SGD; biases and norms are not decayed."""
    parameters = [p for module in (model, loss_head) for p in module.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.dim() > 1], "weight_decay": options.weight_decay},
        {"params": [p for p in parameters if p.dim() <= 1], "weight_decay": 0.0},
    ]
    if options.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=options.learning_rate, momentum=options.momentum, nesterov=True)
    return torch.optim.AdamW(groups, lr=options.learning_rate)


class _schedule:  # noqa: N801 (used like a function)
    """Factor of the learning rate at each step: linear warm-up, then cosine to zero or ×0.1 at each milestone."""

    def __init__(self, options: TrainOptions, steps: int) -> None:
        self._options, self._steps = options, steps
        self._warm = options.warmup * steps

    def __call__(self, step: int) -> float:
        if step < self._warm:
            return (step + 1) / (self._warm + 1)
        if self._options.schedule == "steps":
            return 0.1 ** sum(step >= share * self._steps for share in self._options.milestones)
        done = (step - self._warm) / max(self._steps - self._warm, 1)
        return 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))
