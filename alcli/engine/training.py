"""The one training loop of all tasks: task loss, ranking loss of the loss head, learning-rate schedule."""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

import numpy as np
import torch
from torch import nn

from alcli.config import TrainOptions
from alcli.engine import distributed
from alcli.engine.device import device, training_precision
from alcli.engine.loading import LoadedBatch, batches
from alcli.engine.recipe import BATCH_SIZE, NORMS, WeightAverage, build_optimizer, freeze, set_modes, settle
from alcli.engine.training_state import Learner, Position, TrainingState
from alcli.errors import DataError
from alcli.items import Refusal
from alcli.models.lean import lean
from alcli.models.loss_head import DETACHED, LossHead, total_loss
from alcli.tasks import Batch, Example, Task

NORM_BATCHES = 200
"""Batches that are enough to estimate a layer's mean and variance."""


@dataclass(frozen=True)
class EpochReport:
    """Means over the images of one epoch.

    Attributes:
        epoch: from 1. loss: the task's mean per-item loss. ranking: the ranking loss of the loss head.
        refusals: images that could not be loaded.
    """

    epoch: int
    epochs: int
    images: int
    loss: float
    ranking: float
    refusals: Sequence[Refusal]


class Diverged(Exception):
    """The loss is infinite or not a number; the model is useless."""


def feature_channels(task: Task, model: nn.Module) -> tuple[int, ...]:
    """Channels of the feature maps that the task passes to the loss head."""
    blank = Batch([], torch.zeros(1, 3, *task.input_shape, dtype=torch.uint8), [], [])
    was_training = model.training
    with torch.inference_mode():
        channels = tuple(feature.shape[1] for feature in task.features(model.eval(), blank))
    model.train(was_training)
    return channels


class Checkpoints(Protocol):
    """Where the state of a training is saved, so that it can be resumed."""

    def due(self, steps: int) -> bool:
        """Whether to save the state after this many steps."""
        ...

    def keep(self, state: TrainingState) -> None:
        """Save a state; may raise to stop the training there."""
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
    """Train model and loss head in place, yielding one report per epoch; printing, saving, stopping is the caller's.

    The ranking loss also trains the model for the first ``detach_after`` of the epochs, after that only the loss head
    (Yoo & Kweon 2019, section 3.2); with ``loss_head = detached`` it never trains the model. Same seed, examples and
    machine give the same weights for any number of workers.
    With ``ema`` the weights at the end are the average of those along the way.

    Args:
        options: ``alcli.engine.recipe.settle`` fills in what depends on the task and the number of examples.
        checkpoints: asked after each step.
        state: resume from here; on the same machine bit for bit as if the training had never stopped.

    Raises:
        DataError: there is nothing to train on.
        Diverged: a loss became infinite or not a number.
    """
    if not examples:
        raise DataError("There is no annotated image to train on.")
    options = settle(task, options, len(examples))
    weigh_classes = getattr(task, "weigh_classes", None)
    if weigh_classes is not None:
        weigh_classes(examples)
    seed_everything(options.seed)
    learner = _build_learner(task, model, loss_head, len(examples), options)
    distributed.copy_weights(model, loss_head)
    position = Position()
    if state is not None:
        learner.restore(state)
        position = state.position
    with contextlib.closing(_training_batches(task, examples, options, position)) as stream:
        for epoch in range(position.epoch, options.epochs):
            set_modes(task, model, loss_head, options)
            rest = itertools.islice(stream, _batches_per_epoch(len(examples), options) - position.batches)
            position = _train_epoch(task, learner, rest, position, len(examples), options, checkpoints)
            position = replace(position, refusals=tuple(distributed.gather(position.refusals)))
            if position.sums[0] == 0:
                raise DataError("Not one annotated image could be loaded.", do="See `alcli list quarantine`.")
            if epoch + 1 == options.epochs:
                stream.close()
                _finish(task, learner, examples, options)
            yield _epoch_report(position, options.epochs)
            position = Position(epoch + 1)


def _finish(task: Task, learner: Learner, examples: Sequence[Example], options: TrainOptions) -> None:
    """Take the average of the weights, if there is one; what the batch norms measured does not belong to it."""
    if learner.average is not None:
        learner.average.install()
    recompute_batch_norm(task, learner.model, examples, options)
    _check_finite(learner.model, learner.loss_head)


def _build_learner(task: Task, model: nn.Module, loss_head: LossHead, count: int, options: TrainOptions) -> Learner:
    model.to(device()).to(memory_format=torch.channels_last)
    loss_head.to(device())
    freeze(task, model, options)
    optimizer = build_optimizer(task, model, loss_head, options)
    steps = _batches_per_epoch(count, options) * options.epochs
    factor = partial(learning_rate_factor, steps=steps, options=options)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
    average = WeightAverage(model, loss_head, options.ema) if options.ema else None
    return Learner(model, loss_head, optimizer, scheduler, average)


def _training_batches(
    task: Task, examples: Sequence[Example], options: TrainOptions, start: Position
) -> Generator[LoadedBatch, None, None]:
    def order(epoch: int) -> list[list[int]]:
        return [distributed.share(batch) for batch in _epoch_batches(len(examples), options, epoch)]

    at = (start.epoch, start.batches)
    return batches(task, examples, order, options.workers, options.epochs, options.augment, options.seed, at)


def _batches_per_epoch(count: int, options: TrainOptions) -> int:
    return math.ceil(count / _batch_size(options))


def _batch_size(options: TrainOptions) -> int:
    return options.batch_size or BATCH_SIZE


def _train_epoch(
    task: Task,
    learner: Learner,
    stream: Iterator[LoadedBatch],
    position: Position,
    count: int,
    options: TrainOptions,
    checkpoints: Checkpoints | None,
) -> Position:
    """Train on the remaining batches of an epoch of ``count`` examples; returns the position at its end."""
    steps_before = position.epoch * _batches_per_epoch(count, options)
    detach = options.loss_head == DETACHED or position.epoch >= options.detach_after * options.epochs
    for batch, refused in stream:
        sums = np.array(position.sums)
        if batch is not None or distributed.size() > 1:
            done = _step(task, learner, batch, options, detach)
            sums += done
            if done[0] and learner.average is not None:
                learner.average.update(learner.scheduler.last_epoch)
            if done[0]:
                learner.scheduler.step()
        images, loss, ranking = sums.tolist()
        refusals = (*position.refusals, *refused)
        position = Position(position.epoch, position.batches + 1, (images, loss, ranking), refusals)
        if checkpoints is not None and checkpoints.due(steps_before + position.batches):
            checkpoints.keep(learner.capture(position))
    return position


def _epoch_report(position: Position, epochs: int) -> EpochReport:
    images, loss, ranking = position.sums
    return EpochReport(position.epoch + 1, epochs, int(images), loss / images, ranking / images, position.refusals)


def _check_finite(*modules: nn.Module) -> None:
    # No loss is computed after the last update that would reveal it.
    if not all(bool(torch.isfinite(value).all()) for module in modules for value in module.state_dict().values()):
        raise Diverged


# Not torch's update_bn: it also overwrites the norms of a frozen backbone, and a last batch of one image raises.
def recompute_batch_norm(task: Task, model: nn.Module, examples: Sequence[Example], options: TrainOptions) -> None:
    """Recompute the running mean and variance of all trained batch norms with the final weights.

    After a short training the running averages still describe earlier weights; a deep network then outputs at test time
    something it was never trained for, up to infinity. Norms in evaluation mode (a frozen backbone's) stay as they are.
    Wu & Johnson, "Rethinking Batch in BatchNorm", 2021, section 3 ("precise BN").
    """
    norms = [module for module in model.modules() if isinstance(module, NORMS) and module.training]
    order = [batch for batch in _epoch_batches(len(examples), options, 0) if len(batch) > 1][:NORM_BATCHES]
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
    """Seed every random generator that training uses."""
    torch.manual_seed(seed)
    np.random.seed(seed % 2**32)


def _step(task: Task, learner: Learner, batch: Batch | None, options: TrainOptions, detach: bool) -> np.ndarray:
    """One update; returns (images, summed loss, summed ranking loss), of all processes."""
    model, loss_head = learner.model, learner.loss_head
    learner.optimizer.zero_grad(set_to_none=True)
    sums = np.zeros(3) if batch is None else _backward(task, learner, batch, options, detach)
    if distributed.size() > 1:
        sums = distributed.sum_gradients([*model.parameters(), *loss_head.parameters()], sums)
        if not np.isfinite(sums).all():
            raise Diverged
        if not sums[0]:
            return sums
    if options.loss_head == DETACHED:  # a common norm would let a large gradient of the head slow the network
        nn.utils.clip_grad_norm_(model.parameters(), options.gradient_clip)
        nn.utils.clip_grad_norm_(loss_head.parameters(), options.gradient_clip)
    else:
        nn.utils.clip_grad_norm_([*model.parameters(), *loss_head.parameters()], options.gradient_clip)
    learner.optimizer.step()
    return sums


def _backward(task: Task, learner: Learner, batch: Batch, options: TrainOptions, detach: bool) -> np.ndarray:
    """Compute gradients; returns (images, summed loss, summed ranking loss).

    They are those of the mean over the batch; where it is one share of several, of the sum, for ``sum_gradients``.
    """
    count = len(batch.examples)
    with _without_norms_of_one(learner.model, count), lean(learner.model), training_precision(options.precision):
        losses, features = task.losses(learner.model, batch)  # (images,), [(images, C_i, H_i, W_i)]
    losses = losses.float()
    predicted = learner.loss_head([feature.detach() for feature in features] if detach else features)  # (images,)
    weight = options.loss_weight or 0.0
    total = total_loss(losses, predicted, weight, options.margin, options.loss_head)
    if distributed.size() > 1:
        (total * count).backward()
    elif torch.isfinite(total):
        total.backward()
    else:
        raise Diverged
    loss = float(losses.detach().mean())
    ranking = (float(total.detach()) - loss) / weight if weight else 0.0
    return np.array([count, count * loss, count * ranking])


@contextlib.contextmanager
def _without_norms_of_one(model: nn.Module, count: int) -> Iterator[None]:
    """For a batch of one image, let batch norms use their running statistics: one image gives no useful ones."""
    norms = [module for module in model.modules() if isinstance(module, NORMS) and module.training]
    if count > 1:
        norms = []
    for norm in norms:
        norm.eval()
    yield
    for norm in norms:
        norm.train()


def _epoch_batches(count: int, options: TrainOptions, epoch: int) -> list[list[int]]:
    """The batches of one epoch as positions; every example once, the last batch may be smaller."""
    shuffled = np.random.default_rng((options.seed, epoch)).permutation(count).tolist()
    size = _batch_size(options)
    return [shuffled[start : start + size] for start in range(0, count, size)]


# Not torch's SequentialLR: it rounds the warm-up to whole steps, and resumes only by repeating every step.
def learning_rate_factor(step: int, steps: int, options: TrainOptions) -> float:
    """Factor of the learning rate at ``step`` of ``steps``: linear warm-up, then cosine to 0 or ×0.1 at milestones."""
    warmup = options.warmup * steps
    if step < warmup:
        return (step + 1) / (warmup + 1)
    if options.schedule == "steps":
        return 0.1 ** sum(step >= share * steps for share in options.milestones)
    progress = (step - warmup) / max(steps - warmup, 1)
    return 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
