"""A trained model in one safetensors file with its manifest; reading it cannot run code."""

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
    """Everything needed to rebuild the network that the tensors belong to."""

    task: str
    model: str
    classes: tuple[str, ...]
    input_shape: tuple[int, int]
    channels: tuple[int, ...]


def save(path: Path, model: nn.Module, loss_head: LossHead, manifest: Manifest) -> None:
    """Write model and loss head to one file, atomically; the same weights give the same bytes."""
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    tensors |= {f"loss_head.{name}": value for name, value in loss_head.state_dict().items()}
    tensors = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    # A single metadata key: safetensors writes several keys in an order that varies between runs.
    content = safetensors.torch.save(tensors, {KEY: json.dumps(asdict(manifest), sort_keys=True)})
    with atomic_write(path, "wb") as stream:
        stream.write(content)


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, Tensor], Manifest]:
    """Read (model tensors, loss head tensors, manifest); raises DataError when alcli did not write the file."""
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
    return _with_prefix("model.", tensors), _with_prefix("loss_head.", tensors), manifest


def differences(manifest: Manifest, wanted: Manifest, fields: Sequence[str]) -> list[str]:
    """One clause for each field in which the two manifests differ."""
    pairs = ((field, getattr(manifest, field), getattr(wanted, field)) for field in fields)
    return [f"{field} is {stored!r}, expected {expected!r}" for field, stored, expected in pairs if stored != expected]


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


def _with_prefix(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose name has the prefix, named without it."""
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
