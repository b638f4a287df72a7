"""Semantic segmentation: one class a pixel."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2

from alcli import images
from alcli.annotations import IGNORED, Annotation
from alcli.config import ModelOptions, TaskOptions
from alcli.errors import DataError, UsageError
from alcli.items import ImageFacts, Item
from alcli.models import pixels, segmenters
from alcli.models.tapped import Tapped
from alcli.system.text import did_you_mean
from alcli.tasks import Batch, Example
from alcli.tasks._checks import known_class, speaks_of, upright
from alcli.tasks._label_maps import BACKGROUND, IGNORE, check, label_map, masks
from alcli.tasks._tapped import TappedTask

MOST_CLASSES = 254
LONGEST_SIDE = 1024
"""Predictions are interpolated up to this side; larger images get the nearest pixel."""


class Segmentation(TappedTask):
    """Give every pixel a class, by LR-ASPP, DeepLabV3 or a light MobileNetV2 pyramid.

    Pixels that no region covers are ``background``, once anything but full masks is annotated. Uncertainty: of the
    distribution over classes at each position of the network's own output (a quarter to a sixteenth of the
    resolution), made one number by ``task.aggregate``. ``class_scores``: the share of each class, as the mean of its
    probabilities over positions. ``expected_objects``: the sum over classes of the largest probability at any
    position, that is how many classes there are to outline.
    """

    light_model = "mobilenet-v2"
    loss_weight = 0.1
    models = tuple(segmenters.MODELS)
    unit = "pixels"
    _options: Options

    class Options(TaskOptions):
        """What only segmentation can be told."""

        ignore_index: int = Field(255, ge=0, description="pixels of this id neither train nor count")

    def __init__(self, options: Options, model: ModelOptions, classes: Sequence[str]) -> None:
        """Args: ``classes``: names in the order of the model's outputs; raises UsageError for an unknown model."""
        super().__init__(options, model, classes)
        self.model_name = model.name or self.light_model
        if self.model_name not in segmenters.MODELS:
            known = segmenters.MODELS
            raise UsageError(f"Segmentation has no model {self.model_name!r}.", do=did_you_mean(self.model_name, known))
        if len(self.classes) > MOST_CLASSES:
            raise UsageError(f"{len(self.classes)} classes are more than the {MOST_CLASSES} that a mask can hold.")
        side = model.input_size or segmenters.INPUT_SIZES[self.model_name]
        self.input_shape = (side, side)

    @staticmethod
    def vocabulary(annotation: Annotation, options: Options) -> set[str]:
        """The classes of polygons and masks; ``background`` too unless a mask file gave every pixel a number."""
        named = {
            mask.label for mask in annotation.masks if mask.label != IGNORED and mask.pixel_id != options.ignore_index
        }
        numbered = bool(annotation.masks) and all(mask.pixel_id is not None for mask in annotation.masks)
        return named | {polygon.label for polygon in annotation.polygons} | (set() if numbered else {BACKGROUND})

    def build_model(self) -> Tapped:
        """The network with its starting weights; raises DataError when they do not fit."""
        return segmenters.build(self.model_name, len(self.classes), self._model.weights)

    def encode(self, item: Item, path: Path, facts: ImageFacts, annotation: Annotation) -> Example:
        """The example.

        Raises:
            DataError: a mask of another size, an id that no class list names, an unknown class, a box without outline.
        """
        speaks_of(annotation, "polygons", "masks")
        annotation = upright(annotation, facts)
        size = (facts.width, facts.height)
        check(annotation, size)
        self._check_ids(annotation)
        for polygon in annotation.polygons:
            known_class(polygon.label, self.classes)
        for mask in annotation.masks:
            if mask.label != IGNORED and mask.pixel_id != self._options.ignore_index:
                known_class(mask.label, self.classes)
        outlines = len(annotation.polygons) + len(annotation.masks)
        if len(annotation.boxes) > outlines:
            raise DataError(f"{len(annotation.boxes)} boxes, but only {outlines} outlines: boxes cannot train pixels")
        kept = Annotation(item.id, (), size, polygons=annotation.polygons, masks=annotation.masks)
        return Example(item, path, kept, size)

    def load(self, example: Example, augment: str) -> tuple[Tensor, dict[str, Tensor], tuple[int, int]]:
        """The image at the model's input size and ``mask`` (1, side, side) uint8 of class numbers, 255 = ignore.

        Args:
            augment: none; crop (random part and shape, then flip); anything else flips.
        """
        side = self.input_shape[0]
        picture = images.load(example.path, at_least=(side, side) if augment != "crop" else None)
        size = example.size or picture.size
        if example.annotation is None:
            return pixels.to_tensor(picture, (side, side)), {}, size
        numbers = label_map(example.annotation, size, self.classes, self._options.ignore_index)
        mask = tv_tensors.Mask(torch.from_numpy(numbers).unsqueeze(0))
        if augment == "crop":
            both = v2.RandomResizedCrop((side, side), scale=(0.35, 1.0), antialias=True)(
                tv_tensors.Image(pixels.to_tensor(picture)), mask
            )
        else:
            both = tv_tensors.Image(pixels.to_tensor(picture, (side, side))), v2.Resize((side, side))(mask)
        if augment != "none":
            both = v2.RandomHorizontalFlip()(*both)
        return both[0].as_subclass(Tensor), {"mask": both[1].as_subclass(Tensor)}, size

    def losses(self, model: Tapped, batch: Batch) -> tuple[Tensor, list[Tensor]]:
        """(batch,) cross-entropy, the mean over an image's own pixels that count (0 without one); and the maps."""
        features, deep = model.maps(self.normalised(model, batch))
        wanted = torch.cat([target["mask"] for target in batch.targets]).long().to(features[0].device)
        logits = _resized(model.predict(deep).float(), wanted.shape[1:])
        pixels = F.cross_entropy(logits, wanted, ignore_index=IGNORE, reduction="none")
        counted = (wanted != IGNORE).sum(dim=(1, 2))
        return pixels.sum(dim=(1, 2)) / counted.clamp(min=1), features

    def distributions(self, outputs: Tensor) -> Tensor:
        """(rows, positions, classes)."""
        return outputs.softmax(dim=1).flatten(2).transpose(1, 2)

    def evidence(self, outputs: Tensor) -> Tensor:
        """(rows, classes): mean probability over positions."""
        return outputs.softmax(dim=1).mean(dim=(2, 3))

    def expected_objects(self, outputs: Tensor) -> Tensor:
        """(rows,) classes to be outlined."""
        return outputs.softmax(dim=1).amax(dim=(2, 3)).sum(dim=1)

    def predictions(self, model: Tapped, batch: Batch) -> list[Annotation]:
        """One mask for each class that occurs, at the size of the upright image."""
        logits = model(self.normalised(model, batch)).float()
        rows = zip(batch.examples, logits, batch.sizes, strict=True)
        return [
            Annotation(example.item.id, (), size, masks=masks(_numbers(row, size, self.input_shape), self.classes))
            for example, row, size in rows
        ]

    def evaluate(self, examples: Sequence[Example], predictions: Iterable[Annotation]) -> dict[str, float]:
        """``miou`` over all pixels of all images that count, and ``iou/CLASS``; classes that never occur are left out.

        Raises:
            DataError: no example has a pixel that counts.
        """
        truth = {example.item.id: example.annotation for example in examples}
        count = len(self.classes)
        confusion = np.zeros((count, count), dtype=np.int64)
        for prediction in predictions:
            annotation = truth[prediction.item_id]
            if annotation and prediction.size:
                true, said = (
                    label_map(part, prediction.size, self.classes, self._options.ignore_index)
                    for part in (annotation, prediction)
                )
                kept = (true != IGNORE) & (said != IGNORE)
                pairs = count * true[kept].astype(np.int64) + said[kept]
                confusion += np.bincount(pairs, minlength=count**2).reshape(count, count)
        if not confusion.any():
            raise DataError("No held-out image has a pixel that counts.", do="Look at the masks and task.ignore_index.")
        return _intersections_over_unions(confusion, self.classes)

    def _check_ids(self, annotation: Annotation) -> None:
        unknown = {mask.pixel_id for mask in annotation.masks if mask.label == IGNORED and mask.pixel_id is not None}
        unknown -= {self._options.ignore_index}
        if unknown:
            listed = ", ".join(str(number) for number in sorted(unknown))
            raise DataError(
                f"the mask has pixels of id {listed}, which the class list does not name and task.ignore_index = "
                f"{self._options.ignore_index} does not ignore"
            )


def _numbers(logits: Tensor, size: tuple[int, int], shape: tuple[int, int]) -> np.ndarray:
    """(classes, h, w) → (height, width) class numbers at the image's size."""
    width, height = size
    shrink = min(1.0, LONGEST_SIDE / max(size))
    smaller = (max(1, round(height * shrink)), max(1, round(width * shrink)))
    # Up to the network's input first, as in training, then to the image: two bilinear steps.
    numbers = _resized(_resized(logits.unsqueeze(0), shape), smaller).argmax(dim=1, keepdim=True)
    if shrink < 1:
        numbers = F.interpolate(numbers.float(), size=(height, width), mode="nearest")
    return numbers[0, 0].to(torch.uint8).cpu().numpy()


def _resized(logits: Tensor, shape: Sequence[int]) -> Tensor:
    return F.interpolate(logits, size=tuple(shape), mode="bilinear", align_corners=False)


def _intersections_over_unions(confusion: np.ndarray, classes: Sequence[str]) -> dict[str, float]:
    hits = np.diag(confusion)
    unions = confusion.sum(axis=0) + confusion.sum(axis=1) - hits
    there = unions > 0
    shares = hits[there] / unions[there]
    names = [name for name, occurs in zip(classes, there, strict=True) if occurs]
    return {"miou": float(shares.mean()), **{f"iou/{name}": float(v) for name, v in zip(names, shares, strict=True)}}
