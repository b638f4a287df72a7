"""The device to compute on, and its floating-point precision."""

from __future__ import annotations

import contextlib

import torch

from alcli.errors import UsageError


def device() -> torch.device:
    """The first GPU, or the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def precision(wanted: str) -> contextlib.AbstractContextManager[None]:
    """For scoring: autocast to bfloat16 if wanted, or with ``auto`` if the hardware multiplies it natively.

    Measured with SSDLite and MobileNetV2 on a processor with AVX512-BF16: 1.1 to 1.8 times as many images per second.
    """
    return torch.autocast(device().type, dtype=torch.bfloat16, enabled=name_precision(wanted) == "bfloat16")


def name_precision(wanted: str) -> str:
    """``auto`` as float32 or bfloat16, the others as they are."""
    if wanted == "auto":
        return "bfloat16" if has_bfloat16() else "float32"
    return wanted


def training_precision(wanted: str) -> contextlib.AbstractContextManager[None]:
    """For training: on a GPU as for scoring, on a CPU always float32.

    On a CPU oneDNN's bfloat16 gradient of a strided convolution over a map one position wide reads uninitialized memory
    (torch 2.15: weights differ from run to run, or become NaN), and a bfloat16 step with AVX512-BF16 takes 1.2 to 2.2
    times the CPU time of a float32 step.

    Raises:
        UsageError: bfloat16 is wanted on a CPU.
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
