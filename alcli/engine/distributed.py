"""One training on several processes that ``torchrun`` has started: each computes its share of every batch.

Gradients are summed over the processes and divided by the images, so that an update is that of the whole batch. Only
rank 0 has a workspace: it sends the others what to train on, and writes alone. Batch norms see their own share, and
the published ranking loss pairs the images of one share.
"""

from __future__ import annotations

import datetime
import os
from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from torch import nn

Each = TypeVar("Each")
PATIENCE = datetime.timedelta(hours=2)
"""Rank 0 inspects images before the others hear of the training."""


def is_running() -> bool:
    """Whether torchrun has started this process, with others."""
    return "TORCHELASTIC_RUN_ID" in os.environ and int(os.environ.get("WORLD_SIZE", "1")) > 1


def rank() -> int:
    """The number of this process; 0 has the workspace."""
    return int(os.environ["RANK"]) if is_running() else 0


def size() -> int:
    """The number of processes that are connected; 1 alone."""
    return torch.distributed.get_world_size() if torch.distributed.is_initialized() else 1


def connect() -> None:
    """Wait for the other processes; nothing alone."""
    if not is_running() or torch.distributed.is_initialized():
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]) % torch.cuda.device_count())
    torch.distributed.init_process_group("gloo", timeout=PATIENCE)


def announce(job: Any) -> None:
    """Send the others a job, or None at the end; nothing alone."""
    if size() > 1:
        torch.distributed.broadcast_object_list([job], src=0)


def receive() -> Any:
    """The next job from rank 0; None at the end."""
    box = [None]
    torch.distributed.broadcast_object_list(box, src=0)
    return box[0]


def share(batch: Sequence[Each]) -> list[Each]:
    """What this process computes of a batch; may be nothing."""
    return list(batch[torch.distributed.get_rank() :: size()]) if size() > 1 else list(batch)


def copy_weights(*modules: nn.Module) -> None:
    """Start from the weights of rank 0; nothing alone."""
    if size() == 1:
        return
    for module in modules:
        for value in module.state_dict().values():
            on_cpu = value.detach().cpu()
            torch.distributed.broadcast(on_cpu, src=0)
            value.copy_(on_cpu)


def sum_gradients(parameters: Sequence[nn.Parameter], sums: np.ndarray) -> np.ndarray:
    """Replace gradients, of losses summed over a share, by those of the mean over all images; returns the global sums.

    Args:
        sums: the number of images first. A parameter that no process has used keeps no gradient.
    """
    used = [parameter for parameter in parameters if parameter.requires_grad]
    flat = torch.cat(
        [
            torch.tensor(sums, dtype=torch.float64),
            torch.tensor([parameter.grad is not None for parameter in used], dtype=torch.float64),
        ]
    )
    torch.distributed.all_reduce(flat)
    everywhere = flat[: len(sums)].numpy()
    images = max(float(everywhere[0]), 1.0)
    gradients = [parameter.grad if parameter.grad is not None else torch.zeros_like(parameter) for parameter in used]
    joined = torch.cat([gradient.detach().float().reshape(-1).cpu() for gradient in gradients])
    torch.distributed.all_reduce(joined)
    joined /= images
    start = 0
    for parameter, count in zip(used, flat[len(sums) :].tolist(), strict=True):
        values = joined[start : start + parameter.numel()].view(parameter.shape)
        parameter.grad = values.to(parameter) if count else None
        start += parameter.numel()
    return everywhere


def gather(values: Sequence[Each]) -> list[Each]:
    """The values of all processes, in the order of their ranks."""
    if size() == 1:
        return list(values)
    boxes: list[Any] = [None] * size()
    torch.distributed.all_gather_object(boxes, list(values))
    return [value for box in boxes for value in box]
