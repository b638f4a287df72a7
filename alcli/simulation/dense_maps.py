"""Maps of a frozen trunk over all images of a simulation, computed once and read from disk where they are needed."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from alcli.artifacts.feature_cache import FOLDER, SHARE, bounded_features
from alcli.artifacts.starting_weights import weights_of
from alcli.artifacts.trained import starting_model
from alcli.config import Config
from alcli.context import GB
from alcli.engine.device import device, precision
from alcli.engine.loading import batches
from alcli.errors import DataError
from alcli.models.tapped import pool_maps
from alcli.models.uncertainty import embedding
from alcli.simulation.labels import Labels
from alcli.simulation.map_files import MapFiles, MapWriter
from alcli.system.arrays import Arrays, read_arrays, write_arrays
from alcli.system.bounded_folder import BoundedFolder
from alcli.system.files import remove_leftovers
from alcli.system.hashing import sha256_of_text
from alcli.system.progress import Progress
from alcli.tasks import Batch, Example, Task

BATCH = 32
PLAIN, MIRROR, POOL = "none", "mirror", "pool"
"""How an image is looked at: as annotated, its mirror image, and without its annotation, as an image of the pool."""
INDEX = "index"
LAYOUT = "raw rows, height, width, channels"
"""Of the files of maps; files of another layout have another key."""


@dataclass(frozen=True)
class Extent:
    """The rows of one image in one view, and the image's (width, height)."""

    first: int
    rows: int
    size: tuple[int, int]


@dataclass(frozen=True)
class DenseMaps:
    """The maps of every image in every view, half precision, in files that are read row by row.

    Attributes:
        folder: of the files.
    """

    folder: Path

    def batch(self, examples: Sequence[Example], view: str, input_shape: tuple[int, int]) -> Batch:
        """The examples as a batch whose pixels are blank, because nothing reads them; targets but for ``POOL``."""
        extents = [self._extents[view, example.item.id] for example in examples]
        rows = [extent.rows for extent in extents]
        images = torch.zeros((), dtype=torch.uint8).expand(sum(rows), 3, *input_shape)
        owners = torch.arange(len(rows)).repeat_interleave(torch.tensor(rows))
        targets = [self._targets.get((view, example.item.id), {}) for example in examples]
        sizes = [extent.size for extent in extents]
        return Batch(examples, images, targets, sizes, owners if max(rows) > 1 else None)

    def rows(self, item_ids: Sequence[str], view: str) -> list[Tensor]:
        """The maps of these items: [(rows, C_i, H_i, W_i)] float32."""
        extents = [self._extents[view, item_id] for item_id in item_ids]
        rows = np.concatenate([np.arange(extent.first, extent.first + extent.rows) for extent in extents])
        # Channels last on disk as well: nothing has to be moved.
        return [torch.from_numpy(level[rows]).float().permute(0, 3, 1, 2) for level in self._levels]

    def pooled(self, item_ids: Sequence[str]) -> list[np.ndarray]:
        """Standardized spatial means of the maps of these items of the pool: [(k, C_i)] float32."""
        indices = [self._order[item_id] for item_id in item_ids]
        return [means[indices] for means in self._means]

    @functools.cached_property
    def _means(self) -> list[np.ndarray]:
        rows = [self._extents[POOL, item_id].first for item_id in self._order]
        means = [np.stack([level[row].mean(axis=(0, 1), dtype=np.float32) for row in rows]) for level in self._levels]
        return [part / np.maximum(part.std(axis=0), 1e-6) for part in means]

    @functools.cached_property
    def _order(self) -> dict[str, int]:
        pool = [item_id for view, item_id in self._extents if view == POOL]
        return {item_id: index for index, item_id in enumerate(pool)}

    @functools.cached_property
    def shapes(self) -> list[tuple[int, int, int]]:
        """(channels, height, width) of each map, the finest first."""
        return [(level.shape[3], level.shape[1], level.shape[2]) for level in self._levels]

    @functools.cached_property
    def embeddings(self) -> dict[str, np.ndarray]:
        """Item id → (≤ 256,) float16, the signal of that name."""
        return dict(zip(self._index.notes["ids"], self._index.arrays["embedding"], strict=True))

    @functools.cached_property
    def _levels(self) -> list[np.ndarray]:
        return MapFiles.of(self.folder, self._index.notes).open()

    @functools.cached_property
    def _extents(self) -> dict[tuple[str, str], Extent]:
        return {
            (view, item_id): Extent(first, rows, (width, height))
            for view, item_id, first, rows, width, height in self._index.notes["extents"]
        }

    @functools.cached_property
    def _targets(self) -> dict[tuple[str, str], dict[str, Tensor]]:
        targets: dict[tuple[str, str], dict[str, Tensor]] = {}
        for name, array in self._index.arrays.items():
            if name.startswith("target/"):
                _, view, number, part = name.split("/")
                key = (view, self._index.notes["ids"][int(number)])
                targets.setdefault(key, {})[part] = torch.from_numpy(array)
        return targets

    @functools.cached_property
    def _index(self) -> Arrays:
        return read_arrays(self.folder / INDEX)


def extract(config: Config, labels: Labels, cache: Path, progress: Progress) -> DenseMaps:
    """Compute the maps of pool and test images, or find those of an earlier simulation of the same images.

    They lie among the features of frozen networks: when these take more than their share of the cache, what was used
    least recently goes.

    Args:
        cache: the workspace's folder.

    Raises:
        DataError: an image cannot be loaded, or the maps take more than that share.
    """
    root = cache / FOLDER / _key(config, labels)
    room = bounded_features(cache, config.cache)
    files = _intact_files(root)
    if files is None:
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        remove_leftovers(root)
        files = _compute(config, labels, root, room, progress)
    for path in (*files.paths, root / INDEX):
        room.use(path)  # until this run ends
        room.measure(path)
    return DenseMaps(root)


def _intact_files(root: Path) -> MapFiles | None:
    """The files of an earlier simulation, if every bit of them is what was written."""
    try:
        files = MapFiles.of(root, read_arrays(root / INDEX).notes)
    except (OSError, DataError, KeyError):
        return None
    return files if files.are_intact() else None


def _compute(config: Config, labels: Labels, root: Path, room: BoundedFolder, progress: Progress) -> MapFiles:
    task, model, _ = starting_model(config, labels.classes)
    model.eval().to(device()).to(memory_format=torch.channels_last)
    views = _views(task, labels)
    index = _Index([example.item.id for example in (*labels.pool, *labels.test)])
    total, done = sum(len(examples) for _, examples in views), 0
    with progress.track("Computing features", total) as advance, MapWriter(root) as writer:
        for view, examples in views:
            for batch, maps in _forward(config, task, model, view, examples):
                index.enter(view, batch, writer.rows, embedding(pool_maps(maps[-1:])).cpu().numpy())
                writer.append(maps)
                done += len(batch.examples)
                _check_room(room, writer.bytes_written * total / done, len(labels.pool) + len(labels.test))
                advance(len(batch.examples))
        files = writer.files()
    write_arrays(root / INDEX, index.content(files))
    return files


def _check_room(room: BoundedFolder, size: float, images: int) -> None:
    """Raise DataError if the maps will not fit, before hours are spent on them."""
    if room.limit is None or size <= room.limit:
        return
    needed, allowed = size / GB, room.limit / GB
    raise DataError(
        f"The features of {images} images take {needed:.2g} GB, and a tenth of cache.max_gb is {allowed:.2g} GB.",
        kept="Nothing was simulated; other features are kept.",
        do=f"Allow more: --set cache.max_gb={math.ceil(needed / SHARE)}. Or simulate smaller images: --set"
        " model.input_size=N.",
    )


class _Index:
    """Which rows belong to which image in which view, and the images' targets and embeddings."""

    def __init__(self, item_ids: Sequence[str]) -> None:
        self._numbers = {item_id: number for number, item_id in enumerate(item_ids)}
        self._vectors: list[np.ndarray] = [np.empty(0)] * len(item_ids)
        self._targets: dict[str, np.ndarray] = {}
        self._extents: list[list[Any]] = []

    def enter(self, view: str, batch: Batch, first: int, vectors: np.ndarray) -> None:
        """Enter the images of a batch whose rows begin at ``first``; vectors: (rows, d)."""
        start = 0
        for example, target, size, rows in _by_image(batch):
            number = self._numbers[example.item.id]
            self._extents.append([view, example.item.id, first + start, rows, *size])
            if view != MIRROR:
                self._vectors[number] = vectors[start : start + rows].mean(axis=0)
            self._targets |= {f"target/{view}/{number}/{part}": value.numpy() for part, value in target.items()}
            start += rows

    def content(self, files: MapFiles) -> Arrays:
        """What is written; where no view of the pool was computed, its images look as annotated ones do."""
        extents = self._extents
        if not any(view == POOL for view, *_ in extents):
            extents = [*extents, *([POOL, *rest] for view, *rest in extents if view == PLAIN)]
        embeddings = np.stack(self._vectors).astype(np.float16)
        notes = {"ids": list(self._numbers), "extents": extents, **files.notes}
        return Arrays({**self._targets, "embedding": embeddings}, notes)


def _views(task: Task, labels: Labels) -> list[tuple[str, Sequence[Example]]]:
    views: list[tuple[str, Sequence[Example]]] = [(PLAIN, [*labels.pool, *labels.test]), (MIRROR, labels.pool)]
    if getattr(task, "cuts_by_annotation", False):
        views.append((POOL, [replace(example, annotation=None) for example in labels.pool]))
    return views


def _forward(
    config: Config, task: Task, model: Any, view: str, examples: Sequence[Example]
) -> Iterator[tuple[Batch, list[Tensor]]]:
    order = [list(range(start, min(start + BATCH, len(examples)))) for start in range(0, len(examples), BATCH)]
    augment = "mirror" if view == MIRROR else "none"
    for batch, refused in batches(task, examples, lambda _: order, config.score.workers, augment=augment):
        if refused or batch is None:
            raise DataError(f"{refused[0].name}: {refused[0].reason}.", do="Repair or skip that image.")
        with torch.inference_mode(), precision(config.score.precision):
            yield batch, task.trunk_maps(model, batch)  # type: ignore[attr-defined]


def _by_image(batch: Batch) -> Iterator[tuple[Example, Mapping[str, Tensor], tuple[int, int], int]]:
    counts = itertools.repeat(1) if batch.owners is None else batch.owners.bincount().tolist()
    targets = batch.targets or [{}] * len(batch.examples)
    yield from zip(batch.examples, targets, batch.sizes, counts, strict=False)


def _key(config: Config, labels: Labels) -> str:
    settings = (config.model, config.options_of("task"))
    texts = [section.model_dump_json(exclude={"weights"}) for section in settings]
    return sha256_of_text(weights_of(config), *texts, config.score.precision, labels.fingerprint, LAYOUT)[:32]
