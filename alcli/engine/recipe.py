"""How a network learns from few labels: length in updates, slow trunk with still norms, average of the weights."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from alcli.config import TrainOptions
from alcli.models.loss_head import LossHead
from alcli.tasks import Batch, Task

NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
BATCH_SIZE, SMALL_BATCH_SIZE = 16, 8


def settle(task: Task, options: TrainOptions, count: int) -> TrainOptions:
    """The options with every default that depends on the task or on the number of training images filled in.

    ``epochs`` is raised until there are at least ``min_steps`` updates. Settling twice changes nothing.

    Args:
        count: training images, at least one.
    """
    batch_size = options.batch_size
    if batch_size is None:
        few = math.ceil(count / BATCH_SIZE) * options.epochs < options.min_steps
        batch_size = SMALL_BATCH_SIZE if few else BATCH_SIZE
    epochs = max(options.epochs, math.ceil(options.min_steps / math.ceil(count / batch_size)))
    weight = options.loss_weight
    settled = {
        "batch_size": batch_size,
        "epochs": epochs,
        "loss_weight": task.loss_weight if weight is None else weight,
    }
    return options.model_copy(update=settled)


def is_pretrained(task: Task) -> bool:
    """Whether the trunk starts from pretrained weights, in the first training or in one before a warm start."""
    return bool(getattr(task, "pretrained", False))


def freeze(task: Task, model: nn.Module, options: TrainOptions) -> None:
    """Mark the weights that are not trained: those of the trunk, of its stem, or none."""
    task.backbone(model).requires_grad_(not options.freeze_backbone)
    if options.freeze_stem:
        for layer in stem(task, model):
            layer.requires_grad_(False)


def stem(task: Task, model: nn.Module) -> list[nn.Module]:
    """The trunk's layers that run before any map is an eighth as wide as the image.

    They hold about a hundredth of the weights, and most of a step's memory.
    """
    layers: list[tuple[nn.Module, int]] = []

    def record(layer: nn.Module, _: object, output: Tensor) -> None:
        layers.append((layer, output.shape[3] if output.dim() == 4 else 0))

    trained = [
        layer for layer in task.backbone(model).modules() if next(layer.parameters(recurse=False), None) is not None
    ]
    hooks = [layer.register_forward_hook(record) for layer in trained]
    was_training = model.training
    blank = torch.zeros(1, 3, *task.input_shape, dtype=torch.uint8)
    with torch.inference_mode():
        task.features(model.eval(), Batch([], blank, [], []))
    model.train(was_training)
    for hook in hooks:
        hook.remove()
    return [layer for layer, width in itertools.takewhile(lambda pair: pair[1] * 8 > task.input_shape[1], layers)]


def set_modes(task: Task, model: nn.Module, loss_head: nn.Module, options: TrainOptions) -> None:
    """Training mode, apart from a frozen trunk, from frozen batch norms, and from those of a trunk that stay still.

    Still norms normalize by the statistics of the pretraining, so they fit only a trunk that moves slowly; with the
    full rate the network collapses.
    """
    model.train()
    loss_head.train()
    trunk = task.backbone(model)
    if options.freeze_backbone:
        trunk.eval()
        return
    still = options.still_norms == "auto" and is_pretrained(task) and options.trunk_rate < 1
    for module in trunk.modules():
        if isinstance(module, NORMS) and (still or not any(part.requires_grad for part in module.parameters())):
            module.eval()


def build_optimizer(task: Task, model: nn.Module, loss_head: nn.Module, options: TrainOptions) -> torch.optim.Optimizer:
    """AdamW or SGD, without weight decay for biases and norms; the trunk's rate is ``trunk_rate`` times the others'."""
    trunk = {id(parameter) for parameter in task.backbone(model).parameters()}
    slow = options.learning_rate * options.trunk_rate
    parameters = [p for module in (model, loss_head) for p in module.parameters() if p.requires_grad]
    groups = [
        {
            "params": [p for p in parameters if (id(p) in trunk) == in_trunk and (p.dim() > 1) == decayed],
            "weight_decay": options.weight_decay if decayed else 0.0,
            "lr": slow if in_trunk else options.learning_rate,
        }
        for in_trunk in (False, True)
        for decayed in (True, False)
    ]
    groups = [group for group in groups if group["params"]]
    if options.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=options.learning_rate, momentum=options.momentum, nesterov=True)
    return torch.optim.AdamW(groups, lr=options.learning_rate)


class WeightAverage:
    """Exponential moving average of the trained weights of model and loss head (Polyak & Juditsky, 1992).

    The decay warms up as in TensorFlow's ``ExponentialMovingAverage``, so that a short training is not held back by
    its start. Buffers are not averaged: those of trained batch norms are recomputed with the averaged weights.
    """

    def __init__(self, model: nn.Module, loss_head: LossHead, decay: float) -> None:
        """Args: ``decay``: in [0, 1), the share that is kept at each step, once warmed up."""
        named = [(f"model.{name}", parameter) for name, parameter in model.named_parameters()]
        named += [(f"loss_head.{name}", parameter) for name, parameter in loss_head.named_parameters()]
        self._weights = {name: parameter for name, parameter in named if parameter.requires_grad}
        self._averages = {name: weight.detach().clone() for name, weight in self._weights.items()}
        self._decay = decay

    def update(self, step: int) -> None:
        """Move the average towards the weights after update number ``step``, counted from 0."""
        decay = min(self._decay, (1 + step) / (10 + step))
        weights = [weight.detach() for weight in self._weights.values()]
        torch._foreach_lerp_(list(self._averages.values()), weights, 1 - decay)

    def install(self) -> None:
        """Replace the weights by their average."""
        with torch.no_grad():
            for name, weight in self._weights.items():
                weight.copy_(self._averages[name])

    def state_dict(self) -> dict[str, Tensor]:
        """The averages by the weights' names."""
        return dict(self._averages)

    def load_state_dict(self, averages: Mapping[str, Tensor]) -> None:
        """Restore the averages; raises KeyError or RuntimeError if they belong to another network."""
        with torch.no_grad():
            for name, average in self._averages.items():
                average.copy_(averages[name])
