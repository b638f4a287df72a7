"""The settings that a model's quality depends on: models of other settings lie on another learning curve."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from alcli.workspace import Workspace

SECTIONS = ("task", "model", "train")
WITHOUT_EFFECT = {
    *(f"task.{key}" for key in ("classes", "aggregate", "top_k", "count_power", "dropout", "dropout_passes")),
    *(f"train.{key}" for key in ("workers", "checkpoint_every", "allow_cold_start", "accept_worse", "seed")),
    "model.name",
}
"""Settings that change no weight, or only by chance; the model is compared by the name of the network trained."""


def recipe(workspace: Workspace, cycle: int, model: str) -> dict[str, str]:
    """``section.key`` → value of the settings that a cycle's model was trained with; empty if nobody knows them.

    Args:
        model: the name of the network.
    """
    path = workspace.root / "cycles" / f"{cycle:04d}" / "config.json"
    try:
        sections = json.loads(path.read_text(encoding="utf-8"))
        settings = {f"{name}.{key}": _text(value) for name in SECTIONS for key, value in sections[name].items()}
    except (OSError, ValueError, KeyError, AttributeError):
        return {}
    return {"model": model, **{key: value for key, value in settings.items() if key not in WITHOUT_EFFECT}}


def differences(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """The settings that differ, as in ``train.epochs 40 → 3``; settings that only one alcli knew do not count."""
    return [f"{key} {before[key]} → {after[key]}" for key in before if key in after and before[key] != after[key]]


def _text(value: Any) -> str:
    """A path counts by its name: a workspace may move."""
    if isinstance(value, str):
        return PurePath(value).name if value.startswith("/") else value
    return json.dumps(value)
