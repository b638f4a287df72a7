"""From examples to batches on the device: worker processes decode, this process computes.

A worker that dies on an image is replaced, and the image refused; with no workers at all its decoder ends the run.
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

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's mallopt
PREFETCHED = 2
"""Batches that each worker is given ahead."""
MOST_DEATHS = 3
"""So many workers may die in a row without an image that is to blame."""
SECONDS_TO_DIE = 2.0
TORCH_SIGNALS = "torch.utils.data._utils.signal_handling"
Loaded = tuple[Example, Tensor, dict[str, Tensor], tuple[int, int]]
Rows = tuple[Batch | None, list[Refusal]]


Order = Callable[[int], Sequence[Sequence[int]]]


def batches(
    task: Task,
    examples: Sequence[Example],
    order: Order,
    workers: int | None,
    epochs: int = 1,
    augment: str = "none",
    seed: int = 0,
    start: tuple[int, int] = (0, 0),
) -> Iterator[Rows]:
    """The batches of all epochs in one stream, read by one set of workers.

    Workers are forked once: each fork makes the parent's memory copy-on-write, and a training step that then touches
    gigabytes of activations again would pay for every page (measured: 4.6 instead of 7.7 images/s).

    Args:
        order: epoch from 0 → positions in ``examples``, one list a batch.
        augment: how the task varies the images; "none" loads them as they are.
        seed: of the variation; each image's depends on seed, epoch and item only, never on the workers.
        start: (epoch, batch) to begin with.

    Yields:
        (batch, refusals): the batch without images that cannot be loaded, None if none is left; those, with reasons.
    """
    _keep_freed_memory()
    dataset, plan = _Examples(task, examples, augment, seed), _Plan(order, epochs, start)
    count = worker_count(workers, len(order(0)) * epochs)
    deaths = 0
    while True:
        stream, delivered = _Stream(dataset, plan, count), 0
        try:
            for rows in stream:
                yield rows
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
        plan = plan.later(delivered)
        # The guilty image is in one of the batches that were under way.
        for batch in itertools.islice(plan, PREFETCHED * count):
            if dataset.find_deadly(batch):
                deaths = 0
                break


class WorkerDied(Exception):
    """A decoding process ended in the middle of its work."""


class _Stream:
    """The batches of one set of workers; raises WorkerDied where one dies, and nothing elsewhere."""

    def __init__(self, dataset: _Examples, plan: _Plan, workers: int) -> None:
        loader = DataLoader(
            dataset,
            batch_sampler=plan,
            num_workers=workers,
            collate_fn=_collate,
            worker_init_fn=_yield_to_the_model,
            prefetch_factor=PREFETCHED if workers else None,
            pin_memory=device().type == "cuda",
            # Its own: the loader draws a number at its start, and a training that goes on must not see another stream.
            generator=torch.Generator(),
        )
        self._rows = iter(loader)
        self._workers = getattr(self._rows, "_workers", [])
        _hear_of_deaths_only_when_waiting()

    def __iter__(self) -> Iterator[Rows]:
        return self

    def __next__(self) -> Rows:
        try:
            rows: Rows = self._waited_for()
        except (RuntimeError, OSError, EOFError) as error:
            # Pixels that a dead worker had offered cannot be fetched any more: that may be heard before its end is.
            if not self._any_dead(0.0 if isinstance(error, RuntimeError) else SECONDS_TO_DIE):
                raise
            raise WorkerDied(str(error)) from None
        return rows

    def _waited_for(self) -> Rows:
        global _waiting
        _waiting = True
        try:
            if self._any_dead():
                # Its signal came while nobody listened.
                raise RuntimeError("a decoding process died")
            return next(self._rows)
        finally:
            _waiting = False

    def _any_dead(self, patience: float = 0.0) -> bool:
        deadline = time.monotonic() + patience
        while not any(worker.exitcode not in (None, 0) for worker in self._workers):
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.01)
        return True

    def close(self) -> None:
        """End the workers; must be called."""
        # After an error its traceback keeps the stream alive, and Python would wait at exit for workers that are
        # deaf to its signal.
        getattr(self._rows, "_shutdown_workers", lambda: None)()
        for worker in self._workers:
            worker.kill()


_waiting = False


def _hear_of_deaths_only_when_waiting() -> None:
    """Torch's answer to a dead worker's signal is an error wherever the program is, in the middle of an update too."""
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
    """Let glibc keep large freed blocks for the next step instead of giving them back and faulting them in again.

    Measured on two cores: SSD training 5.6 → 8.3 images/s. Elsewhere than glibc nothing happens.
    """
    with contextlib.suppress(OSError, AttributeError):
        allocator = ctypes.CDLL(None)
        allocator.mallopt(M_MMAP_THRESHOLD, 2**30)
        allocator.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


class _Plan:
    """Every batch of every epoch as (epoch, position) pairs, made when needed."""

    def __init__(self, order: Order, epochs: int, start: tuple[int, int]) -> None:
        self._order, self._epochs, self._start = order, epochs, start

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        first, done = self._start
        for epoch in range(first, self._epochs):
            for batch in self._order(epoch)[done if epoch == first else 0 :]:
                yield [(epoch, position) for position in batch]

    def later(self, batches: int) -> _Plan:
        """The plan without its first so many batches."""
        epoch, done = self._start[0], self._start[1] + batches
        while epoch < self._epochs and done >= (length := len(self._order(epoch))):
            epoch, done = epoch + 1, done - length
        return _Plan(self._order, self._epochs, (epoch, done))


class _Examples(Dataset):
    """Loads one example; a broken image becomes a Refusal, so that it cannot stop the run."""

    def __init__(self, task: Task, examples: Sequence[Example], augment: str, seed: int) -> None:
        self._task, self._examples, self._augment, self._seed = task, examples, augment, seed
        self._deadly: dict[int, Died] = {}

    def find_deadly(self, places: Sequence[tuple[int, int]]) -> bool:
        """Whether one of these kills the process that loads it; from now on it is refused."""
        places = [place for place in places if place[1] not in self._deadly]
        if not isinstance(run_in_child(self._survived, places), Died):
            return False
        alone = ((place[1], run_in_child(self._survived, [place])) for place in places)
        found = {position: answer for position, answer in alone if isinstance(answer, Died)}
        self._deadly |= found
        return bool(found)

    def _survived(self, place: tuple[int, int]) -> bool:
        torch.set_num_threads(1)  # a forked process has none of its parent's
        self[place]
        return True

    def __len__(self) -> int:
        return len(self._examples)

    def __getitem__(self, place: tuple[int, int]) -> Loaded | Refusal:
        epoch, position = place
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


def _collate(loaded: list[Loaded | Refusal]) -> tuple[Batch | None, list[Refusal]]:
    refusals = [row for row in loaded if isinstance(row, Refusal)]
    rows = [row for row in loaded if not isinstance(row, Refusal)]
    if not rows:
        return None, refusals
    examples, images, targets, sizes = zip(*rows, strict=True)
    if images[0].dim() == 3:
        # As the decoder laid them, pixel by pixel: that is the model's own order, and nobody has to turn it.
        pixels = torch.stack([image.permute(1, 2, 0) for image in images]).permute(0, 3, 1, 2)
        return Batch(list(examples), pixels, list(targets), list(sizes)), refusals
    owners = torch.arange(len(images)).repeat_interleave(torch.tensor([len(parts) for parts in images]))
    return Batch(list(examples), torch.cat(images), list(targets), list(sizes), owners), refusals


def _yield_to_the_model(worker: int) -> None:
    # Decoding fills the gaps that the model leaves; it must not take a core from a model's thread that others wait for.
    with contextlib.suppress(OSError):
        os.nice(19)
    # A signal to the whole group is for the parent to answer; it then ends its workers.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
