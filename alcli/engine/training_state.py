"""The saved state of a training run: everything its next step depends on, as tensors and text, without code."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from alcli.engine import distributed
from alcli.engine.device import device
from alcli.engine.recipe import WeightAverage
from alcli.errors import DataError
from alcli.items import Refusal
from alcli.system.files import atomic_write

KEY = "alcli"
CPU_RANDOM, GPU_RANDOM = "random.cpu", "random.gpu"


@dataclass(frozen=True)
class Position:
    """How far a training run has come.

    Attributes:
        epoch: from 0. batches: of this epoch that are done.
        sums: number of images, sum of losses, sum of ranking losses in this epoch so far.
        refusals: images of this epoch that could not be loaded.
    """

    epoch: int = 0
    batches: int = 0
    sums: tuple[float, float, float] = (0.0, 0.0, 0.0)
    refusals: Sequence[Refusal] = ()


@dataclass(frozen=True)
class TrainingState:
    """The state of a training run after one step.

    Attributes:
        tensors: of model, loss head, their average, optimizer and random generators, by name.
        environment: what else the numbers depend on: device, threads, version of torch.
    """

    position: Position
    tensors: Mapping[str, Tensor]
    environment: Mapping[str, str]

    def differences(self) -> list[str]:
        """How the environment has changed; if it has, a resumed training is sound, but not bit for bit the same."""
        now = environment()
        pairs = [(name, then, now.get(name, "nothing")) for name, then in self.environment.items()]
        return [f"{name} {then} then, {here} now" for name, then, here in pairs if here != then]


@dataclass(frozen=True)
class Learner:
    """Everything that training changes; ``average`` is None if the last weights are the model."""

    model: nn.Module
    loss_head: nn.Module
    optimizer: torch.optim.Optimizer
    scheduler: torch.optim.lr_scheduler.LambdaLR
    average: WeightAverage | None = None

    def capture(self, position: Position) -> TrainingState:
        """Copy everything to the CPU."""
        tensors = {f"model.{name}": value for name, value in self.model.state_dict().items()}
        tensors |= {f"loss_head.{name}": value for name, value in self.loss_head.state_dict().items()}
        for index, state in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{name}": value for name, value in state.items() if value is not None}
        if self.average is not None:
            tensors |= {f"average.{name}": value for name, value in self.average.state_dict().items()}
        tensors["steps"] = torch.tensor(self.scheduler.last_epoch)
        tensors[CPU_RANDOM] = torch.get_rng_state()
        if device().type == "cuda":
            tensors[GPU_RANDOM] = torch.cuda.get_rng_state()
        copies = {name: value.detach().to("cpu", copy=True).contiguous() for name, value in tensors.items()}
        return TrainingState(position, copies, environment())

    def restore(self, state: TrainingState) -> None:
        """Restore everything from a saved state; raises DataError if it belongs to another network."""
        parts: dict[str, dict[str, Tensor]] = {"model": {}, "loss_head": {}, "average": {}}
        slots: dict[int, dict[str, Tensor]] = {}
        for name, value in state.tensors.items():
            part, _, rest = name.partition(".")
            if part in parts:
                parts[part][rest] = value
            elif part == "optimizer":
                index, _, slot = rest.partition(".")
                slots.setdefault(int(index), {})[slot] = value
        try:
            self.model.load_state_dict(parts["model"])
            self.loss_head.load_state_dict(parts["loss_head"])
            if self.average is not None:
                self.average.load_state_dict(parts["average"])
            groups = self.optimizer.state_dict()["param_groups"]
            self.optimizer.load_state_dict({"state": slots, "param_groups": groups})
            self._step_to(int(state.tensors["steps"]))
            torch.set_rng_state(state.tensors[CPU_RANDOM])
            if device().type == "cuda" and GPU_RANDOM in state.tensors:
                torch.cuda.set_rng_state(state.tensors[GPU_RANDOM])
        except (RuntimeError, ValueError, KeyError, TypeError) as error:
            raise DataError(f"The half-done training does not fit this network: {error}.", do="Train again.") from None

    def _step_to(self, steps: int) -> None:
        # Without calls to step(): the rate at any step is a function of its number, so nothing else has to be saved.
        scheduler = self.scheduler
        scheduler.last_epoch, scheduler._step_count = steps, steps + 1
        pairs = zip(scheduler.base_lrs, scheduler.lr_lambdas, strict=True)
        scheduler._last_lr = [base * factor(steps) for base, factor in pairs]
        for group, rate in zip(self.optimizer.param_groups, scheduler._last_lr, strict=True):
            group["lr"] = rate


def environment() -> dict[str, str]:
    """What the last digits of the weights depend on."""
    name = torch.cuda.get_device_name() if device().type == "cuda" else "cpu"
    facts = {"device": name, "threads": str(torch.get_num_threads()), "torch": torch.__version__}
    return facts | ({"processes": str(distributed.size())} if distributed.size() > 1 else {})


def write(path: Path, state: TrainingState) -> None:
    """Write the state as one safetensors file, atomically."""
    notes: dict[str, Any] = {"position": asdict(state.position), "environment": dict(state.environment)}
    with atomic_write(path, "wb") as stream:
        stream.write(safetensors.torch.save(dict(state.tensors), {KEY: json.dumps(notes)}))


def read(path: Path) -> TrainingState:
    """Read what ``write`` wrote; raises DataError for any other file."""
    try:
        with safetensors.safe_open(path, framework="pt") as stream:
            notes = json.loads((stream.metadata() or {})[KEY])
            tensors = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118 (not a dict)
        position, environment_then = _position(notes["position"]), dict(notes["environment"])
    except (
        safetensors.SafetensorError,
        OSError,
        KeyError,
        ValueError,
        TypeError,
        AttributeError,
        RecursionError,
    ) as error:
        raise DataError(f"{path} is not a half-done training: {error}.", do="Train again.") from None
    return TrainingState(position, tensors, environment_then)


def _position(fields: Mapping[str, Any]) -> Position:
    images, losses, ranking = (float(value) for value in fields["sums"])
    refusals = [Refusal(**refusal) for refusal in fields["refusals"]]
    return Position(int(fields["epoch"]), int(fields["batches"]), (images, losses, ranking), refusals)
