"""Starting weights: none, the library's ImageNet weights, or a safetensors file that fits exactly."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.error import URLError

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from alcli.errors import DataError, PlatformError

UNTRAINED = ("none", "auto")
"""``auto`` is settled before a training (``alcli.artifacts.starting_weights``); until then a network is untrained."""
IMAGENET = "imagenet"


def load_trunk(make: Callable[..., Any], imagenet: Any, weights: str) -> Any | None:
    """Build a trunk with the requested weights; None for ``none`` and ``auto``.

    Args:
        make: torchvision's builder; takes ``weights=``.
        imagenet: torchvision's own weights; torchvision downloads them when needed.
        weights: none, auto, imagenet, or the path of a safetensors file with exactly the trunk's tensors.

    Raises:
        PlatformError: torchvision cannot download its weights.
        DataError: the file is missing or does not fit.
    """
    if weights in UNTRAINED:
        return None
    if weights == IMAGENET:
        try:
            return make(weights=imagenet)
        except (URLError, OSError) as error:
            raise PlatformError(
                f"The ImageNet weights cannot be downloaded: {error}.",
                do="Go online once, or set model.weights to a safetensors file or to none.",
            ) from None
    trunk = make(weights=None)
    load_strictly(trunk, read(Path(weights)), weights)
    return trunk


def read(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a safetensors file; raises DataError for any other file."""
    try:
        return safetensors.torch.load_file(path)
    except FileNotFoundError:
        raise DataError(f"There is no weights file {path}.", do="Check model.weights.") from None
    except (safetensors.SafetensorError, OSError) as error:
        raise DataError(
            f"{path} is not a safetensors file: {error}.",
            do="Convert it with safetensors; pickled files (.pt, .pth) are refused because they can run code.",
        ) from None


def load_strictly(model: nn.Module, state: Mapping[str, Tensor], source: str) -> None:
    """Load every tensor into the model, cast to its type; raises DataError when names or shapes differ."""
    wanted = model.state_dict()
    faults = [f"{name} is missing" for name in wanted if name not in state]
    faults += [f"{name} is not known" for name in state if name not in wanted]
    faults += [
        f"{name} has shape {tuple(state[name].shape)}, expected {tuple(wanted[name].shape)}"
        for name in wanted
        if name in state and state[name].shape != wanted[name].shape
    ]
    if faults:
        more = f" and {len(faults) - 3} more" if len(faults) > 3 else ""
        raise DataError(
            f"{source} does not fit {type(model).__name__}: {'; '.join(faults[:3])}{more}.",
            do="Choose the weights of this model, or the model of these weights.",
        )
    with torch.no_grad():
        model.load_state_dict({name: state[name].to(value.dtype) for name, value in wanted.items()})
