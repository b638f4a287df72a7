"""Features of a pretrained network, for all runs of a frozen simulation."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from alcli.artifacts.backends import AUTO, FLOAT32, OPENVINO, choose_backend
from alcli.artifacts.feature_cache import Row
from alcli.artifacts.frozen_features import DEEP, STAGE, FrozenFeatures, computed_by_torch
from alcli.artifacts.trained import starting_model
from alcli.config import Config
from alcli.engine.compilation import NotCompiled, Plan, compile_network, release
from alcli.errors import DataError
from alcli.system.progress import Progress
from alcli.tasks import Example


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


def extract(config: Config, examples: Sequence[Example], cache: Path, progress: Progress) -> Features:
    """Compute the features of those examples that neither a simulation nor a cycle has computed yet.

    Args:
        cache: the workspace's folder; whoever has the same network uses the same features.

    Raises:
        DataError: an image cannot be loaded.
    """
    # The network has a placeholder class, so labels could not be encoded; features do not need them.
    examples = [replace(example, annotation=None) for example in examples]
    features = _open(config, len(examples), cache, progress)
    rows: list[Row] = []
    with progress.track("Computing features", len(examples)) as advance:
        for part, refused in features.read(examples, advance):
            if refused:
                raise DataError(f"{refused[0].name}: {refused[0].reason}.", do="Repair or skip that image.")
            rows += [row for row in part if row is not None]
    stages = [name for name in rows[0] if name.startswith(STAGE)]
    tapped = [np.stack([row[f"{STAGE}{number}"] for row in rows]) for number in range(len(stages))]
    return Features(
        [example.item.id for example in examples],
        np.stack([row[DEEP] for row in rows]).astype(np.float32),
        np.concatenate(tapped, axis=1).astype(np.float32),
        tuple(part.shape[1] for part in tapped),
        np.stack([row["embedding"] for row in rows]),
    )


def _open(config: Config, count: int, cache: Path, progress: Progress) -> FrozenFeatures:
    task, network, _ = starting_model(config, ("thing",))
    network.eval()
    score, computed = config.score, network
    computed_by = computed_by_torch(score)
    if choose_backend(score, count).name == OPENVINO:
        # bfloat16 only where it is wanted: nobody has compared the order of these images.
        numbers = FLOAT32 if score.precision == AUTO else score.precision
        plan = Plan.of(network, task.input_shape, score.batch_size, numbers, frozenset())
        try:
            computed = compile_network(network, plan, cache / OPENVINO)
            computed_by = f"{release()} {numbers}"
            score = score.model_copy(update={"precision": FLOAT32})  # of what torch computes
        except NotCompiled as error:
            progress.say(f"OpenVINO cannot compute the features ({error}): torch does.")
    config = config.model_copy(update={"score": score})
    return FrozenFeatures.open(config, task, network, computed, computed_by, cache, progress)
