"""What a frozen network says about images: each is looked at once in its life, for cycles and simulations alike."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from alcli import __version__
from alcli.artifacts.backends import TORCH
from alcli.artifacts.feature_cache import FeatureCache, Row, version_of
from alcli.artifacts.local_images import ArrivingExamples
from alcli.artifacts.predictor import Part
from alcli.config import Config, ScoreOptions
from alcli.engine.compilation import fingerprint
from alcli.engine.device import device, name_precision, precision
from alcli.engine.loading import Arriving, batches
from alcli.items import Refusal
from alcli.models.loss_head import LossHead
from alcli.models.tapped import Tapped, pool_maps
from alcli.models.uncertainty import embedding
from alcli.signals import Signals
from alcli.system.hashing import sha256_of_text
from alcli.system.progress import Advance, Progress
from alcli.tasks import Batch, Example, Task

EMBEDDING = frozenset({"embedding"})
DEEP, STAGE = "deep", "stage"
LARGEST = 65504
"""Of half precision."""


def is_pooled(task: Task, network: nn.Module) -> bool:
    """Whether everything after the trunk reads vectors and means of maps, as a classifier's last layer does."""
    return isinstance(network, Tapped) and network.trunk_map is None and not hasattr(task, "frozen_head")


def computed_by_torch(options: ScoreOptions) -> str:
    """What computes the features where no other backend does, in words."""
    return f"{TORCH} {name_precision(options.precision)}"


@dataclass(frozen=True)
class FrozenFeatures:
    """A network's frozen part with its cache.

    Attributes:
        network: computes what is missing. pooled: whether ``deep`` and the stages' means are features, too.
        options: batches, workers and the precision of what is missing.
    """

    task: Task
    network: nn.Module
    pooled: bool
    options: ScoreOptions
    cache: FeatureCache

    @classmethod
    def open(
        cls, config: Config, task: Task, trained: nn.Module, network: nn.Module, computed_by: str, cache: Path,
        progress: Progress,
    ) -> FrozenFeatures:  # fmt: skip
        """The features of a network whose trunk does not change any more.

        Args:
            trained: the network. network: the same, as the backend ``computed_by`` computes it.
            cache: the workspace's folder.
        """
        pooled = is_pooled(task, trained)
        # How the images become rows is the task's and its options' affair.
        options = "" if pooled else json.dumps(config.options_of("task").model_dump(mode="json", exclude={"classes"}))
        size = "x".join(map(str, task.input_shape))
        parts = (config.task.name, task.model_name, size, options, computed_by, __version__, torch.__version__)
        key = sha256_of_text(weights_read(task, trained), *parts)[:32]
        score = config.score
        return cls(task, network, pooled, score, FeatureCache(cache, key, config.cache, progress))

    def read(self, examples: Sequence[Example], advance: Advance) -> Iterator[tuple[list[Row | None], list[Refusal]]]:
        """Yield the features of ``score.shard`` examples at a time, None for an image that cannot be loaded, and why.

        Only images that are not in the cache are waited for and decoded.
        """
        if isinstance(examples, ArrivingExamples):
            examples.skip([number for number, example in enumerate(examples) if self.cache.is_kept(example)])
        size = self.options.shard
        for start in range(0, len(examples), size):
            positions = range(start, min(start + size, len(examples)))
            yield self._read_part(examples, positions, advance)

    def signals(
        self, loss_head: LossHead, examples: Sequence[Example], names: frozenset[str], advance: Advance
    ) -> Iterator[Part]:
        """Yield the signals of ``score.shard`` examples at a time, as the pass over pixels does."""
        stop = 0
        for rows, refusals in self.read(examples, advance):
            start, stop = stop, stop + len(rows)
            known = [(example, row) for example, row in zip(examples[start:stop], rows, strict=True) if row is not None]
            arrays: dict[str, np.ndarray] = dict.fromkeys(names, np.zeros(0))
            if known:
                arrays = self._signals([example for example, _ in known], [row for _, row in known], loss_head, names)
            yield Signals([example.item.id for example, _ in known], arrays), refusals

    def _read_part(
        self, examples: Sequence[Example], positions: Sequence[int], advance: Advance
    ) -> tuple[list[Row | None], list[Refusal]]:
        contents = [self.cache.content_of(examples[position]) for position in positions]
        kept = self.cache.read(contents)
        rows: list[Row | None] = [kept.get(content) if content else None for content in contents]
        advance(len(rows) - rows.count(None))
        missing = [position for position, row in zip(positions, rows, strict=True) if row is None]
        if not missing:
            return rows, []
        computed, refusals = self._compute(_ExamplesAt(examples, missing), advance)
        return [
            computed.get(examples[position].item.id) if row is None else row
            for position, row in zip(positions, rows, strict=True)
        ], refusals

    def _compute(self, examples: _ExamplesAt, advance: Advance) -> tuple[dict[str, Row], list[Refusal]]:
        """Look at images, and keep what was seen."""
        versions = {example.item.id: version_of(example) for example in examples}
        batch_size = self.options.batch_size
        order = [list(range(at, min(at + batch_size, len(examples)))) for at in range(0, len(examples), batch_size)]
        self.network.eval().to(device()).to(memory_format=torch.channels_last)
        seen: list[Example] = []
        refusals: list[Refusal] = []
        parts: list[dict[str, np.ndarray]] = []
        for batch, refused in batches(self.task, examples, lambda _: order, self.options.workers):
            refusals += refused
            if batch is not None:
                seen += batch.examples
                with torch.inference_mode(), precision(self.options.precision):
                    features = _features(self.task, self.network, self.pooled, batch)
                parts.append({name: value.cpu().numpy() for name, value in features.items()})
            advance(len(refused) + (len(batch.examples) if batch else 0))
        if not seen:
            return {}, refusals
        arrays = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        self.cache.keep(seen, [versions[example.item.id] for example in seen], arrays)
        return {
            example.item.id: {name: array[row] for name, array in arrays.items()} for row, example in enumerate(seen)
        }, refusals

    def _signals(
        self, examples: Sequence[Example], rows: Sequence[Row], loss_head: LossHead, names: frozenset[str]
    ) -> dict[str, np.ndarray]:
        arrays = {"embedding": np.stack([row["embedding"] for row in rows])} if names >= EMBEDDING else {}
        others = names - EMBEDDING
        if not others:
            return arrays
        assert isinstance(self.network, Tapped)  # else only the embedding is asked for
        stand_in = _Memorized(self.network, rows).eval()
        blank = torch.zeros((), dtype=torch.uint8).expand(len(rows), 3, 1, 1)
        batch = Batch(examples, blank, [{}] * len(rows), [example.size or (0, 0) for example in examples])
        with torch.inference_mode():
            values, stages = self.task.signals(stand_in, batch, others)
            if "predicted_loss" in others:
                values["predicted_loss"] = loss_head.eval().to(stages[0].device)(stages)
        return arrays | {name: values[name].float().cpu().numpy() for name in others}


class _Memorized(Tapped):
    """A network whose maps are read from the cache, whatever the pixels are."""

    def __init__(self, network: Tapped, rows: Sequence[Row]) -> None:
        super().__init__()
        self.network, self.predictors = network, network.predictors
        where = next(network.parameters()).device
        names = [name for name in rows[0] if name.startswith(STAGE)]
        self._deep = _stack(rows, DEEP).to(where)
        self._stages = [_stack(rows, f"{STAGE}{number}").to(where)[:, :, None, None] for number in range(len(names))]

    def maps(self, images: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Means of the stages as maps of one pixel, and the last layer's inputs."""
        return self._stages, [self._deep]

    def predict(self, deep: list[Tensor]) -> Tensor:
        """The network's own last layer."""
        return self.network.predict(deep)


class _ExamplesAt(Sequence[Example]):
    """The examples at some positions; their images may still be on their way."""

    def __init__(self, examples: Sequence[Example], positions: Sequence[int]) -> None:
        self._examples, self._positions = examples, positions

    def __len__(self) -> int:
        return len(self._positions)

    def __getitem__(self, key):  # type: ignore[no-untyped-def]
        return self._examples[self._positions[key]]

    def are_ready(self, positions: Sequence[int], wait: bool) -> bool:
        """As ``Arriving`` says."""
        if not isinstance(self._examples, Arriving):
            return True
        return self._examples.are_ready([self._positions[position] for position in positions], wait)


def _features(task: Task, network: nn.Module, pooled: bool, batch: Batch) -> dict[str, Tensor]:
    """(images, d) in half precision, by name."""
    if not pooled:
        values, _ = task.signals(network, batch, EMBEDDING)
        return {"embedding": values["embedding"].half()}
    stages, deep = network.maps(task.normalize(network, batch))  # type: ignore[operator, attr-defined]
    vectors = pool_maps(deep)
    features = {"embedding": embedding(vectors), DEEP: _half(vectors)}
    return features | {f"{STAGE}{number}": _half(pool_maps([part])) for number, part in enumerate(stages)}


def weights_read(task: Task, network: nn.Module) -> str:
    """A hash of the network's kind and of those weights that its features depend on, as a gradient shows.

    A detector's features may come from layers behind the trunk, and never depend on its classes.
    """
    parameters = dict(network.named_parameters())
    trained = {name: parameter.requires_grad for name, parameter in parameters.items()}
    network.eval().requires_grad_(True)
    try:
        with torch.enable_grad():
            blank = torch.zeros(1, 3, *task.input_shape, dtype=torch.uint8)
            features = _features(task, network, is_pooled(task, network), Batch([], blank, [], [])).values()
            total = torch.stack([value.float().sum() for value in features]).sum()
            gradients = torch.autograd.grad(total, list(parameters.values()), allow_unused=True)
        unread = {name for name, gradient in zip(parameters, gradients, strict=True) if gradient is None}
    except Exception:  # a task of another package, which may need more than a blank image
        unread = set()
    for name, parameter in parameters.items():
        parameter.requires_grad_(trained[name])
    return fingerprint(network, unread | _buffers_of(network, unread))


def _buffers_of(network: nn.Module, unread: set[str]) -> set[str]:
    """The buffers of modules none of whose own parameters is read, as of the norms of a head."""
    names: set[str] = set()
    for path, module in network.named_modules():
        start = f"{path}." if path else ""
        own = {start + name for name, _ in module.named_parameters(recurse=False)}
        if own and own <= unread:
            names |= {start + name for name, _ in module.named_buffers(recurse=False)}
    return names


def _half(values: Tensor) -> Tensor:
    return values.clamp(-LARGEST, LARGEST).half()


def _stack(rows: Sequence[Row], name: str) -> Tensor:
    return torch.from_numpy(np.stack([row[name] for row in rows])).float()
