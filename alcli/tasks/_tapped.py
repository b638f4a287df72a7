"""What classification, pose and segmentation share: signals, warm start and device of a Tapped network."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from alcli.config import ModelOptions, TaskOptions
from alcli.models import pixels, uncertainty
from alcli.models.tapped import Tapped, move_classes, pool_maps
from alcli.tasks import Batch

MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
"""Of ImageNet's red, green and blue, as torchvision's and timm's weights expect them."""


class TappedTask:
    """The parts of a task that follow from ``distributions``, ``evidence`` and ``expected_objects`` alone."""

    signal_names = uncertainty.SIGNALS
    loss_weight = 1.0

    def __init__(self, options: TaskOptions, model: ModelOptions, classes: Sequence[str]) -> None:
        self.classes = tuple(classes)
        self._options, self._model = options, model

    def distributions(self, outputs: Tensor) -> Tensor:
        """(rows, things, classes) probabilities that sum to 1: what the uncertainties are about."""
        raise NotImplementedError

    def comparable(self, outputs: Tensor) -> Tensor:
        """The same where things must be the same for two networks; differs only for the peaks of a heatmap."""
        return self.distributions(outputs)

    def evidence(self, outputs: Tensor) -> Tensor:
        """(rows, classes) in [0, 1]: how much of each class there is in each row."""
        raise NotImplementedError

    def expected_objects(self, outputs: Tensor) -> Tensor:
        """(rows,) ≥ 0: how much there is to annotate; the sum of the evidence unless a task knows better."""
        return self.evidence(outputs).sum(dim=1)

    def backbone(self, model: Tapped) -> nn.Module:
        """The part that pretrained weights fill."""
        trunk: nn.Module = model.trunk
        return trunk

    def features(self, model: Tapped, batch: Batch) -> list[Tensor]:
        """The maps for the loss head, the mean over an image's rows."""
        return _per_image(model.maps(self.normalised(model, batch))[0], batch)

    def signals(self, model: Tapped, batch: Batch, needs: frozenset[str]) -> tuple[dict[str, Tensor], list[Tensor]]:
        """The signals asked for and no others, and the maps for the loss head."""
        features, deep = model.maps(self.normalised(model, batch))
        found: dict[str, Tensor] = {}
        if "embedding" in needs:
            found["embedding"] = uncertainty.embedding(mean_by_image(pool_maps(deep), batch))
        if needs - {"predicted_loss", "embedding", "output_discrepancy"}:
            found |= self._output_signals(model, deep, batch, needs)
        return found, _per_image(features, batch)

    def discrepancy(self, model: Tapped, previous: Tapped, batch: Batch) -> Tensor:
        """(batch,) half the squared distance of the two networks' probabilities, aggregated like an uncertainty."""
        normalised = self.normalised(model, batch)
        now, before = model(normalised).float(), previous(normalised).float()
        distances = uncertainty.discrepancy(self.comparable(now), self.comparable(before))
        return self._aggregated(distances, self._expected(now, batch), batch)

    def adapt(self, model: Tapped, state: dict[str, Tensor], classes: Sequence[str]) -> dict[str, Tensor]:
        """The last layer's rows moved to this task's classes; new classes start fresh."""
        return move_classes(model, state, classes, self.classes)

    def normalised(self, model: nn.Module, batch: Batch) -> Tensor:
        """(rows, 3, H, W) float32 on the model's device, as ImageNet weights expect it."""
        device = next(model.parameters()).device
        return pixels.normalise(batch.images.to(device, non_blocking=True), MEAN, STD)

    def _output_signals(
        self, model: Tapped, deep: list[Tensor], batch: Batch, needs: frozenset[str]
    ) -> dict[str, Tensor]:
        outputs = model.predict(deep).float()
        expected = self._expected(outputs, batch)
        found = {"class_scores": mean_by_image(self.evidence(outputs), batch), "expected_objects": expected}
        wanted: dict[str, Callable[[], Tensor]] = {
            name: lambda measure=measure: measure(self.distributions(outputs))  # type: ignore[misc]
            for name, measure in uncertainty.UNCERTAINTIES.items()
        }
        wanted["mutual_information"] = lambda: uncertainty.mutual_information(
            self.comparable(model.predict(part).float()) for part in uncertainty.dropout_samples(deep, self._options)
        )
        for name in needs & wanted.keys():
            found[name] = self._aggregated(wanted[name](), expected, batch)
        return found

    def _aggregated(self, values: Tensor, expected: Tensor, batch: Batch) -> Tensor:
        """(rows, things) → (batch,)."""
        parts = [values[rows].flatten() for rows in _rows_by_image(len(values), batch)]
        return uncertainty.aggregate(parts, expected, self._options)

    def _expected(self, outputs: Tensor, batch: Batch) -> Tensor:
        return _sum_by_image(self.expected_objects(outputs), batch)


def mean_by_image(values: Tensor, batch: Batch) -> Tensor:
    """(rows, …) → (batch, …): the mean over the rows of each image."""
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
