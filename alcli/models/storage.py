"""A trained model as one file: safetensors with its manifest inside; nothing that could run code."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor, nn

from alcli.errors import DataError
from alcli.models.loss_head import LossHead
from alcli.system.files import atomic_write

KEY = "alcli"


@dataclass(frozen=True)
class Manifest:
    """What the tensors belong to: everything needed to build the network again."""

    task: str
    model: str
    classes: tuple[str, ...]
    input_shape: tuple[int, int]
    channels: tuple[int, ...]


def save(path: Path, model: nn.Module, loss_head: LossHead, manifest: Manifest) -> None:
    """Write model and loss head as one file, whole or not at all; the same weights give the same bytes."""
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    tensors |= {f"loss_head.{name}": value for name, value in loss_head.state_dict().items()}
    tensors = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    # One metadata key: safetensors writes several in an order that differs from run to run.
    content = safetensors.torch.save(tensors, {KEY: json.dumps(asdict(manifest), sort_keys=True)})
    with atomic_write(path, "wb") as stream:
        stream.write(content)


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, Tensor], Manifest]:
    """(model's tensors, loss head's tensors, manifest); raises DataError when alcli did not write the file."""
    try:
        with safetensors.safe_open(path, framework="pt") as stream:
            text = (stream.metadata() or {}).get(KEY)
            tensors = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118 (not a dict)
    except (safetensors.SafetensorError, OSError) as error:
        raise DataError(f"{path} is not a model file: {error}.", do="Train again.") from None
    if text is None:
        raise DataError(f"{path} was not written by alcli.", do="Use it as model.weights instead.")
    try:
        manifest = _manifest(json.loads(text))
    except (ValueError, TypeError, KeyError, RecursionError):
        raise DataError(f"The manifest in {path} is not what alcli wrote.", do="Train again.") from None
    return _below("model.", tensors), _below("loss_head.", tensors), manifest


def differences(manifest: Manifest, wanted: Manifest, fields: Sequence[str]) -> list[str]:
    """Sentences naming each field in which the two differ."""
    pairs = ((field, getattr(manifest, field), getattr(wanted, field)) for field in fields)
    return [f"{field} is {there!r}, expected {here!r}" for field, there, here in pairs if there != here]


def _manifest(fields: dict[str, Any]) -> Manifest:
    texts, numbers = (
        (fields["task"], fields["model"], *fields["classes"]),
        (*fields["input_shape"], *fields["channels"]),
    )
    if not all(isinstance(value, str) for value in texts) or not all(isinstance(value, int) for value in numbers):
        raise TypeError
    height, width = fields["input_shape"]
    channels = tuple(fields["channels"])
    return Manifest(fields["task"], fields["model"], tuple(fields["classes"]), (height, width), channels)


def _below(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
