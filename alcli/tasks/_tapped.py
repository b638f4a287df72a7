"""The shared base of classification, pose and segmentation: signals and warm start of a Tapped network."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from alcli.config import ModelOptions, TaskOptions
from alcli.models import pixels, uncertainty
from alcli.models.tapped import Tapped, move_classes, pool_maps
from alcli.models.timm_networks import MEAN, STD
from alcli.models.weights import UNTRAINED
from alcli.tasks import Batch


class TappedTask(ABC):
    """The parts of a task that depend only on ``distributions``, ``evidence`` and ``object_count``."""

    signal_names = uncertainty.SIGNALS
    loss_weight = 1.0

    def __init__(self, options: TaskOptions, model: ModelOptions, classes: Sequence[str]) -> None:
        self.classes = tuple(classes)
        self._options, self._model = options, model
        self.pretrained = model.weights not in UNTRAINED

    @abstractmethod
    def distributions(self, outputs: Tensor) -> Tensor:
        """Distributions (rows, things, classes), each with sum 1, from which the uncertainties are computed."""

    def comparable(self, outputs: Tensor) -> Tensor:
        """Distributions whose things correspond between two networks; ``distributions`` by default."""
        return self.distributions(outputs)

    @abstractmethod
    def evidence(self, outputs: Tensor) -> Tensor:
        """Evidence of each class (rows, classes), in [0, 1]."""

    def class_uncertainty(self, outputs: Tensor) -> Tensor:
        """Each class's share of the entropy, a mean over the things: (rows, classes) in nats."""
        return uncertainty.class_uncertainty(self.distributions(outputs)).mean(dim=1)

    def object_count(self, outputs: Tensor) -> Tensor:
        """Expected number of objects to annotate (rows,), ≥ 0; the sum of the evidence by default."""
        return self.evidence(outputs).sum(dim=1)

    def backbone(self, model: Tapped) -> nn.Module:
        """The part that pretrained weights fill."""
        trunk: nn.Module = model.trunk
        return trunk

    def trunk_maps(self, model: Tapped, batch: Batch) -> list[Tensor]:
        """The trunk's maps that a frozen head is trained on: [(rows, C_i, H_i, W_i)]."""
        features, deep = model.maps(self.normalize(model, batch))
        return deep if model.trunk_map is None else features[: model.trunk_map % len(features) + 1]

    def features(self, model: Tapped, batch: Batch) -> list[Tensor]:
        """Maps for the loss head, averaged over each image's rows."""
        return _per_image(model.maps(self.normalize(model, batch))[0], batch)

    def signals(self, model: Tapped, batch: Batch, needs: frozenset[str]) -> tuple[dict[str, Tensor], list[Tensor]]:
        """The signals in ``needs`` and no others, and the maps for the loss head."""
        features, deep = model.maps(self.normalize(model, batch))
        signals: dict[str, Tensor] = {}
        if "embedding" in needs:
            last = deep if model.trunk_map is None else [features[model.trunk_map]]
            signals["embedding"] = uncertainty.embedding(mean_by_image(pool_maps(last), batch))
        if needs - {"predicted_loss", "embedding", "output_discrepancy"}:
            signals |= self._output_signals(model, deep, batch, needs)
        return signals, _per_image(features, batch)

    def discrepancy(self, model: Tapped, previous: Tapped, batch: Batch) -> Tensor:
        """½‖p − q‖² between the two networks' probabilities, aggregated like an uncertainty: (batch,)."""
        inputs = self.normalize(model, batch)
        now, before = model(inputs).float(), previous(inputs).float()
        distances = uncertainty.discrepancy(self.comparable(now), self.comparable(before))
        return self._aggregate(distances, self._object_counts(now, batch), batch)

    def adapt(self, model: Tapped, state: dict[str, Tensor], classes: Sequence[str]) -> dict[str, Tensor]:
        """Move the last layer's weights to this task's classes; new classes keep their initial weights."""
        return move_classes(model, state, classes, self.classes)

    def normalize(self, model: nn.Module, batch: Batch) -> Tensor:
        """Network input (rows, 3, H, W) float32 on the model's device, normalized as the network was trained."""
        device = next(model.parameters()).device
        statistics = getattr(model, "image_statistics", (MEAN, STD))
        return pixels.normalize(batch.images.to(device, non_blocking=True), *statistics)

    def _output_signals(
        self, model: Tapped, deep: list[Tensor], batch: Batch, needs: frozenset[str]
    ) -> dict[str, Tensor]:
        outputs = model.predict(deep).float()
        counts = self._object_counts(outputs, batch)
        signals = {"class_scores": mean_by_image(self.evidence(outputs), batch), "expected_objects": counts}
        if "class_uncertainty" in needs:
            signals["class_uncertainty"] = mean_by_image(self.class_uncertainty(outputs), batch)
        measures: dict[str, Callable[[], Tensor]] = {
            name: lambda measure=measure: measure(self.distributions(outputs))  # type: ignore[misc]
            for name, measure in uncertainty.UNCERTAINTIES.items()
        }
        measures["mutual_information"] = lambda: uncertainty.mutual_information(
            self.comparable(model.predict(part).float()) for part in uncertainty.dropout_samples(deep, self._options)
        )
        for name in needs & measures.keys():
            signals[name] = self._aggregate(measures[name](), counts, batch)
        return signals

    def _aggregate(self, values: Tensor, counts: Tensor, batch: Batch) -> Tensor:
        """(rows, things) → (batch,)."""
        parts = [values[rows].flatten() for rows in _rows_by_image(len(values), batch)]
        return uncertainty.aggregate(parts, counts, self._options)

    def _object_counts(self, outputs: Tensor, batch: Batch) -> Tensor:
        return _sum_by_image(self.object_count(outputs), batch)


def mean_by_image(values: Tensor, batch: Batch) -> Tensor:
    """Mean over the rows of each image: (rows, …) → (batch, …)."""
    if batch.owners is None:
        return values
    owners = batch.owners.to(values.device)
    counts = owners.bincount(minlength=len(batch.sizes)).view(-1, *[1] * (values.dim() - 1))
    return _sum_by_image(values, batch) / counts


def _sum_by_image(values: Tensor, batch: Batch) -> Tensor:
    if batch.owners is None:
        return values
    empty = values.new_zeros(len(batch.sizes), *values.shape[1:])
    return empty.index_add(0, batch.owners.to(values.device), values)


def _rows_by_image(rows: int, batch: Batch) -> list[Tensor]:
    owners = torch.arange(rows) if batch.owners is None else batch.owners
    return list(torch.arange(rows).split(owners.bincount().tolist()))


def _per_image(features: Sequence[Tensor], batch: Batch) -> list[Tensor]:
    return [mean_by_image(feature, batch) for feature in features]
