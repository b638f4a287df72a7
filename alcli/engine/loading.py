"""From examples to batches: worker processes decode, this process computes.

If a worker dies on an image or takes too long, the worker is replaced and the image refused. Without workers a crash
ends the run.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import itertools
import os
import pickle
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from alcli.errors import DataError, MachineError, Unreadable
from alcli.items import Refusal
from alcli.system.hashing import seed_of
from alcli.system.processes import Died, run_in_child, worker_count
from alcli.system.workers import SignLife, WorkerDied, Workers, WorkerStuck
from alcli.tasks import Batch, Example, Task

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # parameters of glibc's mallopt
PREFETCHED = 2
"""Batches that each worker decodes in advance."""
MOST_DEATHS = 3
"""Workers that may die in a row without an image to blame."""
LoadedExample = tuple[Example, Tensor, dict[str, Tensor], tuple[int, int]]
"""(example, image (3, H, W) or parts (parts, 3, H, W), target, (width, height) before resizing)."""
LoadedBatch = tuple[Batch | None, list[Refusal]]
"""(batch of the images that could be loaded, None without any; the other images)."""
Order = Callable[[int], Sequence[Sequence[int]]]
"""Epoch from 0 → positions of its examples, one list per batch."""


@runtime_checkable
class Arriving(Protocol):
    """Examples whose images are still on their way."""

    def are_ready(self, positions: Sequence[int], wait: bool) -> bool:
        """Whether these images can be loaded now, or never; with ``wait``, not before they can."""
        ...


def batches(
    task: Task,
    examples: Sequence[Example],
    order: Order,
    workers: int | None,
    epochs: int = 1,
    augment: str = "none",
    seed: int = 0,
    start: tuple[int, int] = (0, 0),
) -> Generator[LoadedBatch, None, None]:
    """Stream the batches of all epochs, decoded by one set of workers.

    Workers are forked only once: each fork makes the parent's memory copy-on-write, and a training step that then
    writes gigabytes of activations pays for every page (measured: 4.6 instead of 7.7 images/s).

    Args:
        augment: the task's augmentation; "none" loads images unchanged.
        seed: of the augmentation, which depends only on seed, epoch and item, never on the workers.
        start: (epoch, batch) to begin with.

    Yields:
        (batch, refusals): the images that could be loaded, None without any; the other images, with reasons.

    Raises:
        MachineError: workers die repeatedly and no image is to blame.
    """
    _keep_freed_memory()
    _return_freed_memory()
    dataset, plan = _Examples(task, examples, augment, seed), _Plan(order, epochs, start)
    count, deaths = worker_count(workers, len(order(0)) * epochs), 0
    while True:
        stream, delivered = _Stream(dataset, plan, count), 0
        try:
            for loaded in stream:
                yield loaded
                delivered += 1
            return
        except WorkerDied as error:
            death, deaths = error, 1 if delivered else deaths + 1
            if deaths > MOST_DEATHS:
                raise _too_many_deaths(error) from None
        finally:
            stream.close()
        plan = plan.without_first(delivered)
        if isinstance(death, WorkerStuck):
            dataset.refuse(next(iter(plan)), death)
            continue
        # The image to blame is in one of the batches that were being decoded.
        if any(dataset.find_deadly(batch) for batch in itertools.islice(plan, PREFETCHED * count)):
            deaths = 0


def _too_many_deaths(error: WorkerDied) -> MachineError:
    return MachineError(
        f"Decoding processes die again and again ({error}).",
        kept="Finished steps are kept.",
        do="Is memory short, or a disk gone? Try --set train.workers=1 --set score.workers=1.",
    )


class _Stream:
    """The batches of one set of workers, in the order of the plan; raises WorkerDied if one dies or gets stuck.

    A death is noticed only while a batch is awaited, so that no update of the model is left half done.
    """

    def __init__(self, dataset: _Examples, plan: _Plan, workers: int) -> None:
        self._load = functools.partial(_load_batch, dataset)
        self._are_ready = dataset.are_ready
        self._plan = iter(plan)
        self._next: list[tuple[int, int]] | None = None
        self._workers = Workers(self._load, workers, _prepare_worker, _TensorPickler)

    def __iter__(self) -> Iterator[LoadedBatch]:
        return self

    def __next__(self) -> LoadedBatch:
        if not len(self._workers):
            keys = next(self._plan)
            self._are_ready(keys, wait=True)
            return self._load(keys)
        while self._workers.pending < PREFETCHED * len(self._workers):
            self._next = self._next or next(self._plan, None)
            # While there is something to compute, nothing waits for images.
            if self._next is None or not self._are_ready(self._next, wait=not self._workers.pending):
                break
            self._workers.send(self._next)
            self._next = None
        if not self._workers.pending:
            raise StopIteration
        loaded: LoadedBatch = self._workers.receive()
        return loaded

    def close(self) -> None:
        """End the workers; must be called."""
        self._workers.close()


DECODERS_NICE = 5
"""What is added to the niceness of decoding processes."""


def _load_batch(dataset: _Examples, keys: Sequence[tuple[int, int]], sign_life: SignLife = lambda: None) -> LoadedBatch:
    results = []
    for key in keys:
        results.append(dataset[key])
        sign_life()
    return _collate(results)


def _prepare_worker() -> None:
    # The model goes before decoding: a delayed model thread delays all of them. With more than this, other work on the
    # machine would go before decoding too, and scoring beside it would fall to a tenth.
    with contextlib.suppress(OSError):
        os.nice(DECODERS_NICE)
    torch.set_num_threads(1)  # the parent's threads do not exist in a forked process


class _TensorPickler(pickle.Pickler):
    """Pickles tensors as arrays, whose memory is sent as it is, in its order."""

    def reducer_override(self, value: object) -> Any:
        """How to pickle this value."""
        if not isinstance(value, Tensor):
            return NotImplemented
        # Channels-last pixels are contiguous only in the order of their strides.
        order = sorted(range(value.dim()), key=value.stride, reverse=True)
        return _to_tensor, (value.permute(order).numpy(), [order.index(axis) for axis in range(value.dim())])


def _to_tensor(array: np.ndarray, order: list[int]) -> Tensor:
    return torch.from_numpy(array).permute(order)


@functools.cache
def _keep_freed_memory() -> None:
    """Let glibc reuse large freed blocks instead of returning them and faulting them in again at the next step.

    Measured on two cores: SSD training 5.6 → 8.3 images/s. Without glibc it does nothing.
    """
    with contextlib.suppress(OSError, AttributeError):
        allocator = ctypes.CDLL(None)
        allocator.mallopt(M_MMAP_THRESHOLD, 2**30)
        allocator.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


def _return_freed_memory() -> None:
    """Give the kernel what is free at this moment: the memory of a step that will not come again, such as training's.

    Processes forked now would keep a copy of every page that is written again.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


class _Plan:
    """Lazily, every batch of every epoch as (epoch, position) pairs."""

    def __init__(self, order: Order, epochs: int, start: tuple[int, int]) -> None:
        self._order, self._epochs, self._start = order, epochs, start

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        first_epoch, first_batch = self._start
        for epoch in range(first_epoch, self._epochs):
            for batch in self._order(epoch)[first_batch if epoch == first_epoch else 0 :]:
                yield [(epoch, position) for position in batch]

    def without_first(self, batches: int) -> _Plan:
        """The plan after this many more batches."""
        epoch, batch = self._start[0], self._start[1] + batches
        while epoch < self._epochs and batch >= (length := len(self._order(epoch))):
            epoch, batch = epoch + 1, batch - length
        return _Plan(self._order, self._epochs, (epoch, batch))


class _Examples:
    """Loads one example; returns a Refusal for a broken image, so that it cannot stop the run."""

    def __init__(self, task: Task, examples: Sequence[Example], augment: str, seed: int) -> None:
        self._task, self._examples, self._augment, self._seed = task, examples, augment, seed
        self._deadly: dict[int, Died] = {}

    def are_ready(self, keys: Sequence[tuple[int, int]], wait: bool) -> bool:
        """Whether these (epoch, position) can be loaded; with ``wait``, not before they can."""
        if not isinstance(self._examples, Arriving):
            return True
        return self._examples.are_ready([position for _, position in keys], wait)

    def refuse(self, keys: Sequence[tuple[int, int]], death: WorkerStuck) -> None:
        """Refuse the example at which a process got stuck while it loaded this batch."""
        self._deadly[keys[min(death.done, len(keys) - 1)][1]] = Died.of(death)

    def find_deadly(self, keys: Sequence[tuple[int, int]]) -> bool:
        """Whether loading one of these (epoch, position) kills its process; such an example is refused from now on."""
        keys = [key for key in keys if key[1] not in self._deadly]
        if not isinstance(run_in_child(self._try_load, keys), Died):
            return False
        results = ((position, run_in_child(self._try_load, [(epoch, position)])) for epoch, position in keys)
        deadly = {position: result for position, result in results if isinstance(result, Died)}
        self._deadly |= deadly
        return bool(deadly)

    def _try_load(self, key: tuple[int, int]) -> bool:
        torch.set_num_threads(1)  # the parent's threads do not exist in a forked process
        self[key]
        return True

    def __getitem__(self, key: tuple[int, int]) -> LoadedExample | Refusal:
        epoch, position = key
        example = self._examples[position]
        if died := self._deadly.get(position):
            return Refusal(example.item.id, example.item.name, died.reason, example.item.version, died.killed)
        try:
            with torch.random.fork_rng(devices=[], enabled=self._augment != "none"):
                if self._augment != "none":
                    torch.manual_seed(seed_of(self._seed, epoch, example.item.id))
                return (example, *self._task.load(example, self._augment))
        except DataError as error:
            transient = isinstance(error, Unreadable)
            return Refusal(example.item.id, example.item.name, error.what, example.item.version, transient)


def _collate(results: list[LoadedExample | Refusal]) -> LoadedBatch:
    refusals = [result for result in results if isinstance(result, Refusal)]
    loaded = [result for result in results if not isinstance(result, Refusal)]
    if not loaded:
        return None, refusals
    examples, images, targets, sizes = zip(*loaded, strict=True)
    if images[0].dim() == 3:
        # (images, 3, H, W) in channels-last memory, as decoded and as the model wants it: nothing has to be reordered.
        pixels = torch.stack([image.permute(1, 2, 0) for image in images]).permute(0, 3, 1, 2)
        return Batch(list(examples), pixels, list(targets), list(sizes)), refusals
    owners = torch.arange(len(images)).repeat_interleave(torch.tensor([len(parts) for parts in images]))
    return Batch(list(examples), torch.cat(images), list(targets), list(sizes), owners), refusals
