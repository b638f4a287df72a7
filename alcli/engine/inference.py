"""One streaming pass over items: signals for strategies, predictions for people; reads nothing but model and items."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from alcli.annotations import Annotation
from alcli.config import ScoreOptions
from alcli.engine.device import device, precision
from alcli.engine.loading import batches
from alcli.items import Refusal
from alcli.models.loss_head import LossHead
from alcli.signals import Signals
from alcli.system.progress import Advance, ignore
from alcli.tasks import Batch, Example, Task


def signals(
    task: Task,
    model: nn.Module,
    loss_head: LossHead,
    examples: Sequence[Example],
    needs: frozenset[str],
    options: ScoreOptions,
    advance: Advance = ignore,
    previous: nn.Module | None = None,
) -> Iterator[tuple[Signals, list[Refusal]]]:
    """Compute the model's signals of the examples, one part of ``options.shard`` items after the other.

    A part has the same content whichever part the pass starts with, so that an interrupted pass can be resumed.

    Args:
        previous: the earlier model that ``output_discrepancy`` compares with; without one it is 0.

    Yields:
        (signals, refusals): signals of the images that could be loaded, in the given order; the other images, with
            reasons.
    """
    _prepare(model, loss_head, *([previous] if previous else []))
    order, batches_per_part = _parts(len(examples), options)
    stream = batches(task, examples, lambda _: order, options.workers)
    for count in batches_per_part:
        ids: list[str] = []
        arrays: dict[str, list[np.ndarray]] = {name: [] for name in needs}
        refusals: list[Refusal] = []
        for _ in range(count):
            batch, refused = next(stream)
            refusals += refused
            advance(len(refused) + (len(batch.examples) if batch else 0))
            if batch is None:
                continue
            ids += [example.item.id for example in batch.examples]
            with torch.inference_mode(), precision(options.precision):
                values = _compute_signals(task, model, loss_head, batch, needs, previous)
            for name in needs:
                dtype = torch.float16 if name == "embedding" else torch.float32
                arrays[name].append(values[name].to(dtype).cpu().numpy())  # (images,) or (images, d)
        joined = {name: np.concatenate(parts) if parts else np.zeros(0) for name, parts in arrays.items()}
        yield Signals(ids, joined), refusals


def _compute_signals(
    task: Task, model: nn.Module, loss_head: LossHead, batch: Batch, needs: frozenset[str], previous: nn.Module | None
) -> dict[str, Tensor]:
    values, features = task.signals(model, batch, needs)
    if "predicted_loss" in needs:
        values["predicted_loss"] = loss_head(features)
    if "output_discrepancy" in needs:
        values["output_discrepancy"] = (
            task.discrepancy(model, previous, batch) if previous else torch.zeros(len(batch.sizes))
        )
    return values


def predictions(
    task: Task, model: nn.Module, examples: Sequence[Example], options: ScoreOptions
) -> Iterator[Annotation]:
    """The model's predicted annotation of each example that can be loaded, in the given order."""
    _prepare(model)
    order = _parts(len(examples), options)[0]
    for batch, _ in batches(task, examples, lambda _: order, options.workers):
        if batch is not None:
            with torch.inference_mode(), precision(options.precision):
                yield from task.predictions(model, batch)


def losses(
    task: Task, model: nn.Module, loss_head: LossHead, examples: Sequence[Example], options: ScoreOptions
) -> tuple[np.ndarray, np.ndarray]:
    """(true (n,), predicted (n,)) losses of annotated examples, to judge the loss head."""
    triples = item_losses(task, model, loss_head, examples, options)
    return np.array([true for _, true, _ in triples]), np.array([predicted for _, _, predicted in triples])


def item_losses(
    task: Task, model: nn.Module, loss_head: LossHead, examples: Sequence[Example], options: ScoreOptions
) -> list[tuple[str, float, float]]:
    """(item id, true loss, predicted loss) of each annotated example that can be loaded, in the given order."""
    _prepare(model, loss_head)
    triples: list[tuple[str, float, float]] = []
    order = _parts(len(examples), options)[0]
    for batch, _ in batches(task, examples, lambda _: order, options.workers):
        if batch is not None:
            with torch.inference_mode(), precision(options.precision):
                true, features = task.losses(model, batch)  # (images,), [(images, C_i, H_i, W_i)]
                predicted = loss_head(features)  # (images,)
            ids = [example.item.id for example in batch.examples]
            triples += zip(ids, true.float().tolist(), predicted.float().tolist(), strict=True)
    return triples


def _prepare(*modules: nn.Module) -> None:
    for module in modules:
        module.eval().to(device()).to(memory_format=torch.channels_last)


def _parts(count: int, options: ScoreOptions) -> tuple[list[list[int]], list[int]]:
    """(batches as positions, none spanning two parts; number of batches of each part)."""
    order: list[list[int]] = []
    batches_per_part = []
    for start in range(0, count, options.shard):
        stop = min(start + options.shard, count)
        part = [list(range(i, min(i + options.batch_size, stop))) for i in range(start, stop, options.batch_size)]
        order += part
        batches_per_part.append(len(part))
    return order, batches_per_part
