"""timm's networks by name: with the requested weights, at another input size, with their own image statistics."""

from __future__ import annotations

from typing import Any

import timm
from torch import nn

from alcli.errors import UsageError
from alcli.models.weights import load_trunk
from alcli.system.text import did_you_mean

MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
"""Of ImageNet's red, green and blue, as in torchvision's and in most of timm's trainings."""


def timm_trunk(name: str, weights: str) -> Any:
    """Build a timm model with the requested weights.

    Raises:
        UsageError: timm has no such model; the nearest names are listed.
        DataError: a file does not fit.
    """
    if not timm.is_model(name):
        raise UsageError(f"timm has no model {name!r}.", do=did_you_mean(name, timm.list_models()))

    def make(weights: bool | None = None) -> nn.Module:
        return timm.create_model(name, pretrained=bool(weights))

    return load_trunk(make, True, weights) or make()


def fit_input_size(net: Any, side: int) -> None:
    """Move a network of patches to another input size; timm interpolates the embeddings of the positions.

    Raises:
        UsageError: the side is no multiple of the patches'.
    """
    embed = getattr(net, "patch_embed", None)
    if not hasattr(net, "set_input_size") or embed is None or getattr(embed, "img_size", None) == (side, side):
        return
    patch = embed.patch_size[0]
    if side % patch:
        near = max(side // patch, 1) * patch
        raise UsageError(
            f"The network cuts images into patches of {patch} pixels; {side} is no multiple of that.",
            do=f"--set model.input_size={near} (or {near + patch})",
        )
    net.set_input_size(img_size=(side, side))


def image_statistics(name: str) -> tuple[list[float], list[float]]:
    """(mean, std) with which timm trained a network of this name: a loaded network must see what a new one sees."""
    facts = timm.get_pretrained_cfg(name)
    return (list(facts.mean), list(facts.std)) if facts else (list(MEAN), list(STD))
