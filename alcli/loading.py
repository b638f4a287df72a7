"""From examples to batches on the device: worker processes decode, this process computes."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import signal
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from alcli.errors import DataError, Unreadable, UsageError
from alcli.items import Refusal
from alcli.selection import seed_of
from alcli.tasks import Batch, Example, Task

MOST_WORKERS = 8
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's mallopt
Loaded = tuple[Example, Tensor, dict[str, Tensor], tuple[int, int]]


def device() -> torch.device:
    """The first GPU, or the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def precision(wanted: str) -> contextlib.AbstractContextManager[None]:
    """For scoring: autocast to bfloat16 when wanted, or on ``auto`` where the hardware multiplies it natively.

    Measured with SSDLite and MobileNetV2 on a processor with AVX512-BF16: 1.1 to 1.8 times as many images per second.
    """
    use = wanted == "bfloat16" or (wanted == "auto" and has_bfloat16())
    return torch.autocast(device().type, dtype=torch.bfloat16, enabled=use)


def training_precision(wanted: str) -> contextlib.AbstractContextManager[None]:
    """For training: as for scoring on a GPU, float32 on a processor.

    There oneDNN's bfloat16 gradient of a strided convolution over a map one position wide reads memory that nobody
    wrote (torch 2.15: weights that differ from run to run, or NaN), and a step with AVX512-BF16 takes 1.2 to 2.2 times
    the processor time of a float32 one.

    Raises:
        UsageError: bfloat16 is wanted on a processor.
    """
    if device().type == "cuda":
        return precision(wanted)
    if wanted == "bfloat16":
        raise UsageError(
            "train.precision = 'bfloat16' needs a GPU: on a processor some of its gradients are wrong.",
            do="Set train.precision to auto or float32; score.precision is free.",
        )
    return precision("float32")


def has_bfloat16() -> bool:
    """Whether the device multiplies bfloat16 natively."""
    if device().type == "cuda":
        return torch.cuda.is_bf16_supported()
    capabilities: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def worker_count(wanted: int | None, batches_to_load: int) -> int:
    """Decoding processes: as wanted, else one a core up to 8; never more than there are batches."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores if wanted is None else wanted, MOST_WORKERS, batches_to_load)


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
) -> Iterator[tuple[Batch | None, list[Refusal]]]:
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
    loader = DataLoader(
        _Examples(task, examples, augment, seed),
        batch_sampler=_Plan(order, epochs, start),
        num_workers=worker_count(workers, len(order(0)) * epochs),
        collate_fn=_collate,
        worker_init_fn=_yield_to_the_model,
        pin_memory=device().type == "cuda",
        # Its own: the loader draws a number at its start, and a training that goes on must not see another stream.
        generator=torch.Generator(),
    )
    stream = iter(loader)
    try:
        yield from stream
    finally:
        # After an error its traceback keeps the stream alive, and Python would wait at exit for workers that are
        # deaf to its signal.
        getattr(stream, "_shutdown_workers", lambda: None)()


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


class _Examples(Dataset):
    """Loads one example; a broken image becomes a Refusal, so that it cannot stop the run."""

    def __init__(self, task: Task, examples: Sequence[Example], augment: str, seed: int) -> None:
        self._task, self._examples, self._augment, self._seed = task, examples, augment, seed

    def __len__(self) -> int:
        return len(self._examples)

    def __getitem__(self, place: tuple[int, int]) -> Loaded | Refusal:
        epoch, position = place
        example = self._examples[position]
        try:
            with torch.random.fork_rng(devices=[], enabled=self._augment != "none"):
                if self._augment != "none":
                    torch.manual_seed(seed_of(self._seed, epoch, example.item.id))
                return (example, *self._task.load(example, self._augment))
        except DataError as error:
            passing = isinstance(error, Unreadable)
            return Refusal(example.item.id, example.item.name, error.what, example.item.version, passing)


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
