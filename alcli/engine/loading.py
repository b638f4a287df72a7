"""From examples to batches: worker processes decode, this process computes.

If a worker dies on an image, the worker is replaced and the image refused. Without workers a crash ends the run.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import itertools
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from types import FrameType

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from alcli.engine.device import device
from alcli.errors import DataError, MachineError, Unreadable
from alcli.items import Refusal
from alcli.system.hashing import seed_of
from alcli.system.processes import Died, run_in_child, worker_count
from alcli.tasks import Batch, Example, Task

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # parameters of glibc's mallopt
PREFETCHED = 2
"""Batches that each worker decodes in advance."""
MOST_DEATHS = 3
"""Workers that may die in a row without an image to blame."""
SECONDS_TO_DIE = 2.0
TORCH_SIGNALS = "torch.utils.data._utils.signal_handling"
LoadedExample = tuple[Example, Tensor, dict[str, Tensor], tuple[int, int]]
"""(example, image (3, H, W) or parts (parts, 3, H, W), target, (width, height) before resizing)."""
LoadedBatch = tuple[Batch | None, list[Refusal]]
"""(batch of the images that could be loaded, None without any; the other images)."""
Order = Callable[[int], Sequence[Sequence[int]]]
"""Epoch from 0 → positions of its examples, one list per batch."""


def batches(
    task: Task,
    examples: Sequence[Example],
    order: Order,
    workers: int | None,
    epochs: int = 1,
    augment: str = "none",
    seed: int = 0,
    start: tuple[int, int] = (0, 0),
) -> Iterator[LoadedBatch]:
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
            deaths = 1 if delivered else deaths + 1
            if deaths > MOST_DEATHS:
                raise MachineError(
                    f"Decoding processes die again and again ({error}).",
                    kept="Finished steps are kept.",
                    do="Is memory short? Try --set train.workers=1 --set score.workers=1.",
                ) from None
        finally:
            stream.close()
        plan = plan.without_first(delivered)
        # The image to blame is in one of the batches that were being decoded.
        if any(dataset.find_deadly(batch) for batch in itertools.islice(plan, PREFETCHED * count)):
            deaths = 0


class WorkerDied(Exception):
    """A decoding process died while it was working."""


class _Stream:
    """The batches of one set of workers; raises WorkerDied if one dies, and only while a batch is being fetched."""

    def __init__(self, dataset: _Examples, plan: _Plan, workers: int) -> None:
        loader = DataLoader(
            dataset,
            batch_sampler=plan,
            num_workers=workers,
            collate_fn=_collate,
            worker_init_fn=_start_worker,
            prefetch_factor=PREFETCHED if workers else None,
            pin_memory=device().type == "cuda",
            # A generator of its own: the loader draws one number when it starts, and resuming must not shift the global
            # random stream of training.
            generator=torch.Generator(),
        )
        self._batches: Iterator[LoadedBatch] = iter(loader)
        self._workers = getattr(self._batches, "_workers", [])
        _ignore_dead_workers_while_computing()

    def __iter__(self) -> Iterator[LoadedBatch]:
        return self

    def __next__(self) -> LoadedBatch:
        try:
            return self._wait_for_batch()
        except (RuntimeError, OSError, EOFError) as error:
            # Fetching pixels from a dead worker fails, perhaps before the operating system reports its death.
            if not self._any_dead(0.0 if isinstance(error, RuntimeError) else SECONDS_TO_DIE):
                raise
            raise WorkerDied(str(error)) from None

    def _wait_for_batch(self) -> LoadedBatch:
        global _waiting
        _waiting = True
        try:
            if self._any_dead():
                # Its signal was ignored, because it arrived outside this method.
                raise RuntimeError("a decoding process died")
            return next(self._batches)
        finally:
            _waiting = False

    def _any_dead(self, patience: float = 0.0) -> bool:
        """Whether a worker has died; waits up to ``patience`` seconds for it."""
        deadline = time.monotonic() + patience
        while not any(worker.exitcode not in (None, 0) for worker in self._workers):
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.01)
        return True

    def close(self) -> None:
        """End the workers; must be called."""
        # After an error the traceback keeps the stream alive, and at exit Python would wait for workers that ignore
        # SIGTERM.
        getattr(self._batches, "_shutdown_workers", lambda: None)()
        for worker in self._workers:
            worker.kill()


_waiting = False
"""Whether this process is waiting for a batch; global, because a signal handler reads it."""


def _ignore_dead_workers_while_computing() -> None:
    """Let torch raise for a dead worker only while a batch is awaited: its signal handler may interrupt an update."""
    raising = signal.getsignal(signal.SIGCHLD)
    if not callable(raising) or raising.__module__ != TORCH_SIGNALS:
        return

    def answer(number: int, frame: FrameType | None) -> None:
        if _waiting:
            raising(number, frame)

    with contextlib.suppress(ValueError):  # not in the main thread
        signal.signal(signal.SIGCHLD, answer)


@functools.cache
def _keep_freed_memory() -> None:
    """Let glibc reuse large freed blocks instead of returning them and faulting them in again at the next step.

    Measured on two cores: SSD training 5.6 → 8.3 images/s. Without glibc it does nothing.
    """
    with contextlib.suppress(OSError, AttributeError):
        allocator = ctypes.CDLL(None)
        allocator.mallopt(M_MMAP_THRESHOLD, 2**30)
        allocator.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


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


class _Examples(Dataset):
    """Loads one example; returns a Refusal for a broken image, so that it cannot stop the run."""

    def __init__(self, task: Task, examples: Sequence[Example], augment: str, seed: int) -> None:
        self._task, self._examples, self._augment, self._seed = task, examples, augment, seed
        self._deadly: dict[int, Died] = {}

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

    def __len__(self) -> int:
        return len(self._examples)

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


def _start_worker(worker: int) -> None:
    # Decoding may only use CPU time that the model leaves: a delayed model thread delays all of them.
    with contextlib.suppress(OSError):
        os.nice(19)
    # The parent handles a signal to the whole process group, and then ends its workers.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
