"""A fifth task: guess the number from 0 to 100, or another scale, that people gave an image."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from pydantic import Field
from torch import Tensor, nn

from alcli import images
from alcli.annotations import Annotation
from alcli.config import ModelOptions, TaskOptions
from alcli.errors import DataError
from alcli.items import ImageFacts, Item
from alcli.models import pixels
from alcli.tasks import Batch, Example


class Net(nn.Module):
    """Two convolutions and a mean."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 8, 3, 2, 1), nn.ReLU())
        self.output = nn.Linear(8, 1)

    def forward(self, pictures: Tensor) -> tuple[Tensor, list[Tensor]]:
        """(batch, 3, H, W) in [0, 1] → (batch,) guesses and the map for the loss head."""
        found = self.trunk(pictures)
        return self.output(found.mean(dim=(2, 3))).squeeze(1), [found]


class Brightness:
    """Guess how bright people call an image, from 0 to `task.scale`."""

    light_model = "two-convolutions"
    models = (light_model,)
    signal_names = frozenset({"predicted_loss"})
    loss_weight = 1.0

    class Options(TaskOptions):
        """``[task]`` of alcli.toml, with one key more."""

        scale: int = Field(100, ge=1, description="the number of the brightest image")

    def __init__(self, options: Options, model: ModelOptions, classes: Sequence[str]) -> None:
        """Args: ``classes``: one, there is a single output."""
        self._scale = options.scale
        self.model_name, self.classes = self.light_model, tuple(classes)
        self.input_shape = (64, 64)

    @staticmethod
    def vocabulary(annotation: Annotation, options: Options) -> set[str]:
        """One output, whatever was annotated."""
        return {"brightness"}

    def build_model(self) -> Net:
        """The network."""
        return Net()

    def backbone(self, model: Net) -> nn.Module:
        """The convolutions."""
        return model.trunk

    def encode(self, item: Item, path: Path, facts: ImageFacts, annotation: Annotation) -> Example:
        """The example; raises DataError when the label is no number from 0 to the scale."""
        label = annotation.labels[0] if len(annotation.labels) == 1 else "nothing"
        if not label.isdecimal() or int(label) > self._scale:
            raise DataError(f"{label!r} is not a number from 0 to {self._scale}")
        return Example(item, path, annotation, (facts.width, facts.height))

    def load(self, example: Example, augment: str) -> tuple[Tensor, dict[str, Tensor], tuple[int, int]]:
        """The image at 64 × 64 and its number as a share of 1."""
        picture = images.load(example.path, at_least=(64, 64))
        wanted = {"share": torch.tensor(self._share(example.annotation))} if example.annotation else {}
        return pixels.to_tensor(picture, (64, 64)), wanted, example.size or picture.size

    def losses(self, model: Net, batch: Batch) -> tuple[Tensor, list[Tensor]]:
        """Squared errors."""
        guesses, features = model(self._shares(model, batch))
        wanted = torch.stack([target["share"] for target in batch.targets]).to(guesses.device)
        return (guesses - wanted).square(), features

    def features(self, model: Net, batch: Batch) -> list[Tensor]:
        """The map for the loss head."""
        return model(self._shares(model, batch))[1]

    def signals(self, model: Net, batch: Batch, needs: frozenset[str]) -> tuple[dict[str, Tensor], list[Tensor]]:
        """Only the predicted loss, which the loss head makes of the map."""
        return {}, self.features(model, batch)

    def discrepancy(self, model: Net, previous: Net, batch: Batch) -> Tensor:
        """The difference of two guesses."""
        pictures = self._shares(model, batch)
        return (model(pictures)[0] - previous(pictures)[0]).abs()

    def predictions(self, model: Net, batch: Batch) -> list[Annotation]:
        """The guess as a label."""
        shares = model(self._shares(model, batch))[0].float().clamp(0, 1).tolist()
        rows = zip(batch.examples, shares, batch.sizes, strict=True)
        return [
            Annotation(row.item.id, size=size, labels=(str(round(self._scale * share)),)) for row, share, size in rows
        ]

    def evaluate(self, examples: Sequence[Example], predictions: Iterable[Annotation]) -> dict[str, float]:
        """1 − mean absolute error, as a share of the range."""
        said = {row.item_id: int(row.labels[0]) for row in predictions}
        errors = [abs(said[row.item.id] - int(row.annotation.labels[0])) for row in examples if row.annotation]
        return {"nearness": 1 - sum(errors) / len(errors) / self._scale}

    def adapt(self, model: Net, state: dict[str, Tensor], classes: Sequence[str]) -> dict[str, Tensor]:
        """There is always the one output."""
        return state

    def _share(self, annotation: Annotation) -> float:
        return int(annotation.labels[0]) / self._scale

    def _shares(self, model: Net, batch: Batch) -> Tensor:
        return batch.images.to(next(model.parameters()).device).float() / 255
