"""Every classifier of torchvision and timm, by name, that also returns its stages' feature maps."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import timm
import torch
import torchvision
from torch import Tensor, nn

from alcli.errors import UsageError
from alcli.models.tapped import Tapped
from alcli.models.timm_networks import fit_input_size, image_statistics, timm_trunk
from alcli.models.weights import load_trunk
from alcli.system.text import did_you_mean

STAGES = 4
"""The loss head reads the last map of each of the last four resolutions (Yoo & Kweon 2019: ResNet-18's stages)."""
MODELS = ("mobilenet-v3-small", "mobilenet-v2", "resnet18", "vit_small_patch14_dinov2", "vit_base_patch16_siglip_224")
"""Names to list; every other classifier of torchvision and timm works too."""
TIMM = "timm:"
"""Before a name that both libraries know: timm's."""


def build(name: str, classes: int, weights: str, side: int) -> Tapped:
    """Build a classifier of torchvision or, if torchvision has none of that name, of timm; ``-`` and ``_`` are equal.

    ``timm:NAME`` is timm's in any case.

    Raises:
        UsageError: neither library knows the name, the network does not end in a linear layer, or cannot take images
            of this size.
        DataError: the weights do not fit.
    """
    library_name = name.removeprefix(TIMM).replace("-", "_")
    if not name.startswith(TIMM) and library_name in torchvision.models.list_models(module=torchvision.models):
        return TorchvisionClassifier(library_name, classes, weights, side)
    if timm.is_model(library_name):
        return TimmClassifier(library_name, classes, weights, side)
    known = [*MODELS, *torchvision.models.list_models(module=torchvision.models), *timm.list_models()]
    raise UsageError(f"Classification has no model {name!r}.", do=did_you_mean(name, known))


class TorchvisionClassifier(Tapped):
    """A torchvision classifier; taps the last module of each resolution, located by a forward pass of a blank image."""

    def __init__(self, name: str, classes: int, weights: str, side: int) -> None:
        super().__init__()
        make = partial(torchvision.models.get_model, name)
        net = load_trunk(make, "DEFAULT", weights) or make(weights=None)
        last_linear = _last_linear(net, name)
        inputs = net.get_submodule(last_linear).in_features
        net.set_submodule(last_linear, nn.Identity())
        self.trunk, self.output, self.predictors = net, nn.Linear(inputs, classes), ("output",)
        self._taps = _stage_ends(net, side)

    def maps(self, images: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Up to four stages; the last layer takes the pooled features."""
        outputs, vector = _record_outputs(self.trunk, self._taps, images)  # vector: (rows, features)
        return [outputs[tap] for tap in self._taps], [vector]

    def predict(self, deep: list[Tensor]) -> Tensor:
        """(rows, classes) logits."""
        return self.output(deep[0])


class TimmClassifier(Tapped):
    """A timm classifier; taps the last four of timm's intermediate maps.

    Those of a transformer are its patches on their grid; its pooled tokens are the last layer's inputs and the
    embedding: class token, mean or attention, whichever the network was trained with.

    Attributes:
        image_statistics: (mean, std) with which timm trained it.
    """

    predictors = ("output",)

    def __init__(self, name: str, classes: int, weights: str, side: int) -> None:
        super().__init__()
        net = timm_trunk(name, weights)
        fit_input_size(net, side)
        self.image_statistics = image_statistics(name)
        if not hasattr(net, "forward_intermediates"):
            raise UsageError(f"timm's {name} has no feature maps for the loss head.", do="Choose another model.")
        net.reset_classifier(0)
        self.trunk, self.output = net, nn.Linear(int(net.head_hidden_size), classes)

    def maps(self, images: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Up to four stages; the last layer takes the pooled features."""
        last, stages = self.trunk.forward_intermediates(images, output_fmt="NCHW")
        return stages[-STAGES:], [self.trunk.forward_head(last)]

    def predict(self, deep: list[Tensor]) -> Tensor:
        """(rows, classes) logits."""
        return self.output(deep[0])


def _last_linear(net: nn.Module, name: str) -> str:
    layers = [(path, layer) for path, layer in net.named_modules() if isinstance(layer, (nn.Linear, nn.Conv2d))]
    path, layer = layers[-1]
    if not isinstance(layer, nn.Linear):
        raise UsageError(f"{name} does not end in a linear layer.", do="Choose another model.")
    return path


def _stage_ends(net: nn.Module, side: int) -> tuple[str, ...]:
    """Paths of the modules, at most two levels deep, that output the last map of each resolution."""
    paths = [path for path, _ in net.named_modules() if path and path.count(".") <= 1]
    was_training = net.training
    with torch.inference_mode():
        outputs, _ = _record_outputs(net.eval(), paths, torch.zeros(1, 3, side, side))
    net.train(was_training)
    last: dict[tuple[int, ...], str] = {}
    for path, output in outputs.items():
        if isinstance(output, Tensor) and output.dim() == 4 and output.shape[-1] > 1:
            last[tuple(output.shape[-2:])] = path
    return tuple(last.values())[-STAGES:]


def _record_outputs(net: nn.Module, paths: Iterable[str], images: Tensor) -> tuple[dict[str, Any], Tensor]:
    """Run the network; returns the outputs of the modules at ``paths``, in the order they ran, and its own output."""
    outputs: dict[str, Any] = {}

    def recorder(path: str) -> Callable[..., None]:
        def record(module: nn.Module, inputs: Any, output: Any) -> None:
            outputs[path] = output

        return record

    handles = [net.get_submodule(path).register_forward_hook(recorder(path)) for path in paths]
    try:
        vector = net(images)
    finally:
        for handle in handles:
            handle.remove()
    return outputs, vector
