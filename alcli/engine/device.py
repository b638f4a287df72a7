"""The device that computes, and the precision it computes in."""

from __future__ import annotations

import contextlib

import torch

from alcli.errors import UsageError


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
