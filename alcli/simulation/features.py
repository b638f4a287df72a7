"""Features of a pretrained network, computed once for all runs of a frozen simulation."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import nn

from alcli.artifacts.backends import AUTO, FLOAT32, OPENVINO, choose_backend
from alcli.artifacts.starting_weights import weights_of
from alcli.artifacts.trained import starting_model
from alcli.config import Config
from alcli.engine.compilation import NotCompiled, Plan, compile_network
from alcli.engine.device import device, precision
from alcli.engine.loading import batches
from alcli.errors import DataError
from alcli.models.tapped import Tapped, pool_maps
from alcli.models.uncertainty import embedding
from alcli.system.arrays import Arrays, is_intact, read_arrays, write_arrays
from alcli.system.hashing import sha256_of_text
from alcli.system.progress import Progress
from alcli.tasks import Example

BATCH = 32


@dataclass(frozen=True)
class Features:
    """Pooled features of images, one row each.

    Attributes:
        ids: item ids. deep: (n, d) float32, inputs of the last layer.
        stages: (n, sum of channels) float32, spatial means of the maps that the loss head taps. channels: of each map.
        embedding: (n, ≤ 256) float16, the signal of that name.
    """

    ids: Sequence[str]
    deep: np.ndarray
    stages: np.ndarray
    channels: tuple[int, ...]
    embedding: np.ndarray

    def rows(self, item_ids: Sequence[str]) -> np.ndarray:
        """Row indices of these items: (k,)."""
        return np.array([self._row_of[item_id] for item_id in item_ids], dtype=np.int64)

    @functools.cached_property
    def _row_of(self) -> dict[str, int]:
        return {item_id: index for index, item_id in enumerate(self.ids)}


def extract(config: Config, examples: Sequence[Example], folder: Path, progress: Progress) -> Features:
    """Compute the features of all examples, or read them from ``folder`` if images and network are unchanged.

    Raises:
        DataError: an image cannot be loaded.
    """
    backend = choose_backend(config.score, len(examples)).name
    file = folder / f"{_key(config, examples, backend)}.safetensors"
    if not is_intact(file):
        folder.mkdir(parents=True, exist_ok=True)
        deep, stages, channels = _compute(config, examples, progress, folder if backend == OPENVINO else None)
        write_arrays(file, Arrays({"deep": deep, "stages": stages}, {"channels": channels}))
    content = read_arrays(file)
    deep, stages = content.arrays["deep"], content.arrays["stages"]
    channels = list(content.notes["channels"])
    embeddings = embedding(torch.from_numpy(deep)).numpy()
    ids = [example.item.id for example in examples]
    return Features(ids, deep.astype(np.float32), stages.astype(np.float32), tuple(channels), embeddings)


def _compute(
    config: Config, examples: Sequence[Example], progress: Progress, conversions: Path | None
) -> tuple[np.ndarray, np.ndarray, list[int]]:
    """(inputs of the last layer, means of the stages, channels of each stage); by OpenVINO where it has a folder."""
    task, network, _ = starting_model(config, ("thing",))
    network.eval().to(device()).to(memory_format=torch.channels_last)
    numbers: str = config.score.precision
    if conversions is not None:
        network = _compiled(config, network, task.input_shape, conversions, progress)
        numbers = FLOAT32  # of what torch computes
    model = cast(Tapped, network)  # every classifier is one
    # The network has a placeholder class, so labels could not be encoded; features do not need them.
    examples = [replace(example, annotation=None) for example in examples]
    order = [list(range(start, min(start + BATCH, len(examples)))) for start in range(0, len(examples), BATCH)]
    deep, stages, channels = [], [], [0]
    with progress.track("Computing features", len(examples)) as advance:
        for batch, refused in batches(task, examples, lambda _: order, config.score.workers):
            if refused or batch is None:
                raise DataError(f"{refused[0].name}: {refused[0].reason}.", do="Repair or skip that image.")
            with torch.inference_mode(), precision(numbers):
                maps, last = model.maps(task.normalize(model, batch))  # type: ignore[attr-defined]
            channels = [part.shape[1] for part in maps]  # maps: [(images, C_i, H_i, W_i)]
            deep.append(pool_maps(last).half().cpu().numpy())
            stages.append(pool_maps(maps).half().cpu().numpy())
            advance(len(batch.examples))
    return np.concatenate(deep), np.concatenate(stages), channels


def _precision(config: Config, backend: str) -> str:
    """With OpenVINO bfloat16 only where it is wanted: nobody has compared the order of these images."""
    if backend == OPENVINO and config.score.precision == AUTO:
        return FLOAT32
    return config.score.precision


def _compiled(
    config: Config, network: nn.Module, shape_hw: tuple[int, int], folder: Path, progress: Progress
) -> nn.Module:
    plan = Plan.of(network, shape_hw, BATCH, _precision(config, OPENVINO), frozenset())
    try:
        return compile_network(network, plan, folder / OPENVINO)
    except NotCompiled as error:
        progress.say(f"OpenVINO cannot compute the features ({error}): torch does.")
        return network


def _key(config: Config, examples: Sequence[Example], backend: str) -> str:
    model = config.model.model_dump_json(exclude={"weights"})
    parts = (part for example in examples for part in (example.item.id, example.item.version))
    numbers = f"{backend if backend == OPENVINO else ''}{_precision(config, backend)}"
    return sha256_of_text(weights_of(config), model, numbers, *parts)[:32]
