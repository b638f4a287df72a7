"""Every classifier of torchvision and timm by name, with the maps of its stages beside its logits."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import timm
import torch
import torchvision
from torch import Tensor, nn

from alcli.errors import UsageError
from alcli.models.hrnet import timm_trunk
from alcli.models.tapped import Tapped
from alcli.models.weights import load_trunk
from alcli.system.text import did_you_mean

STAGES = 4
"""As many maps go to the loss head, the last of each resolution (Yoo & Kweon 2019 tap ResNet-18's four stages)."""
MODELS = ("mobilenet-v3-small", "mobilenet-v2", "resnet18")
"""The names worth showing; every other classifier of torchvision and timm works too."""


def build(name: str, classes: int, weights: str, side: int) -> Tapped:
    """A classifier by torchvision's name or, where torchvision has none, timm's; ``-`` and ``_`` mean the same.

    Raises:
        UsageError: neither library knows the name, or the network does not end in a linear layer.
        DataError: the weights do not fit.
    """
    library_name = name.replace("-", "_")
    if library_name in torchvision.models.list_models(module=torchvision.models):
        return TorchvisionClassifier(library_name, classes, weights, side)
    if timm.is_model(library_name):
        return TimmClassifier(library_name, classes, weights)
    known = [*MODELS, *torchvision.models.list_models(module=torchvision.models), *timm.list_models()]
    raise UsageError(f"Classification has no model {name!r}.", do=did_you_mean(name, known))


class TorchvisionClassifier(Tapped):
    """Taps: the last module of each resolution, found by running a blank image once."""

    def __init__(self, name: str, classes: int, weights: str, side: int) -> None:
        super().__init__()
        make = partial(torchvision.models.get_model, name)
        net = load_trunk(make, "DEFAULT", weights) or make(weights=None)
        place = _last_linear(net, name)
        inputs = net.get_submodule(place).in_features
        net.set_submodule(place, nn.Identity())
        self.trunk, self.output, self.predictors = net, nn.Linear(inputs, classes), ("output",)
        self._taps = _stage_ends(net, side)

    def maps(self, images: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Up to four stages; the last layer takes the pooled features."""
        seen, vector = _recorded(self.trunk, self._taps, images)
        return [seen[place] for place in self._taps], [vector]

    def predict(self, deep: list[Tensor]) -> Tensor:
        """(rows, classes) logits."""
        return self.output(deep[0])


class TimmClassifier(Tapped):
    """Taps: the last four of timm's own intermediate maps."""

    predictors = ("output",)

    def __init__(self, name: str, classes: int, weights: str) -> None:
        super().__init__()
        net = timm_trunk(name, weights)
        if not hasattr(net, "forward_intermediates"):
            raise UsageError(f"timm's {name} gives no feature maps for the loss head.", do="Choose another model.")
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
    layers = [(place, layer) for place, layer in net.named_modules() if isinstance(layer, (nn.Linear, nn.Conv2d))]
    place, layer = layers[-1]
    if not isinstance(layer, nn.Linear):
        raise UsageError(f"{name} does not end in a linear layer.", do="Choose another model.")
    return place


def _stage_ends(net: nn.Module, side: int) -> tuple[str, ...]:
    """Names of the modules, at most two levels deep, that give the last map of each resolution."""
    places = [place for place, _ in net.named_modules() if place and place.count(".") <= 1]
    was_training = net.training
    with torch.inference_mode():
        seen, _ = _recorded(net.eval(), places, torch.zeros(1, 3, side, side))
    net.train(was_training)
    last: dict[tuple[int, ...], str] = {}
    for place, found in seen.items():
        if isinstance(found, Tensor) and found.dim() == 4 and found.shape[-1] > 1:
            last[tuple(found.shape[-2:])] = place
    return tuple(last.values())[-STAGES:]


def _recorded(net: nn.Module, places: Any, images: Tensor) -> tuple[dict[str, Any], Tensor]:
    """What the named modules put out, in the order in which they ran, and the network's own output."""
    seen: dict[str, Any] = {}

    def recorder(place: str) -> Callable[..., None]:
        def record(module: nn.Module, inputs: Any, output: Any) -> None:
            seen[place] = output

        return record

    handles = [net.get_submodule(place).register_forward_hook(recorder(place)) for place in places]
    try:
        vector = net(images)
    finally:
        for handle in handles:
            handle.remove()
    return seen, vector
