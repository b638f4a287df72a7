"""Semantic segmentation: one class per pixel."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2

from alcli import images
from alcli.annotations import IGNORED, Annotation
from alcli.config import ModelOptions
from alcli.errors import DataError, UsageError
from alcli.items import ImageFacts, Item
from alcli.models import pixels, segmenters
from alcli.models.cells import CellMaps
from alcli.models.pretrained import LIGHT
from alcli.models.tapped import Tapped
from alcli.predictions import ImagePrediction, measures
from alcli.system.text import did_you_mean
from alcli.tasks import Batch, Example
from alcli.tasks._checks import check_class, require_parts, upright
from alcli.tasks._label_maps import BACKGROUND, IGNORE, check, class_weights, label_map, masks
from alcli.tasks._segmentation_options import SegmentationOptions
from alcli.tasks._tapped import TappedTask

MOST_CLASSES = 254
LONGEST_SIDE = 1024
"""Longest side of bilinear upsampling of predictions; beyond it nearest-neighbor."""
MOST_COUNTED = 1000
"""Images that are enough to estimate how frequent each class is."""


class Segmentation(TappedTask):
    """Classify every pixel, with LR-ASPP, DeepLabV3 or a light MobileNetV2 pyramid.

    Pixels outside all regions are ``background``, unless mask files label every pixel. Uncertainty: of the
    distribution over classes at each position of the network's output (a quarter to a sixteenth of the resolution),
    aggregated by ``task.aggregate``. ``class_scores``: the share of each class, its mean probability over positions.
    ``expected_objects``: the sum over classes of the largest probability at any position, an estimate of how many
    classes an annotator has to outline.
    """

    light_model = LIGHT["segmentation"]
    loss_weight = 0.1
    seen_from = 0.02
    """Of the pixels."""
    models = tuple(segmenters.MODELS)
    unit = "pixels"
    Options = SegmentationOptions
    _options: SegmentationOptions

    def __init__(self, options: SegmentationOptions, model: ModelOptions, classes: Sequence[str]) -> None:
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
        self._class_weights: Tensor | None = None

    def frozen_head(self, shapes: Sequence[tuple[int, int, int]]) -> Tapped:
        """Class scores on the grid of the finest of the memorized trunk maps (channels, height, width)."""
        return CellMaps(shapes, 0, len(self.classes))

    @staticmethod
    def vocabulary(annotation: Annotation, options: SegmentationOptions) -> set[str]:
        """The classes of polygons and masks, and ``background`` unless a mask file labels every pixel."""
        named = {
            mask.label for mask in annotation.masks if mask.label != IGNORED and mask.pixel_id != options.ignore_index
        }
        numbered = bool(annotation.masks) and all(mask.pixel_id is not None for mask in annotation.masks)
        return named | {polygon.label for polygon in annotation.polygons} | (set() if numbered else {BACKGROUND})

    def build_model(self) -> Tapped:
        """Build the network with its starting weights; raises DataError when they do not fit."""
        return segmenters.build(self.model_name, len(self.classes), self._model.weights)

    def encode(self, item: Item, path: Path, facts: ImageFacts, annotation: Annotation) -> Example:
        """Build an example from polygons and masks.

        Raises:
            DataError: a mask of another size, an id missing from the class list, an unknown class, boxes without
                outlines.
        """
        require_parts(annotation, "polygons", "masks")
        annotation = upright(annotation, facts)
        size = (facts.width, facts.height)
        check(annotation, size)
        self._check_ids(annotation)
        for polygon in annotation.polygons:
            check_class(polygon.label, self.classes)
        for mask in annotation.masks:
            if mask.label != IGNORED and mask.pixel_id != self._options.ignore_index:
                check_class(mask.label, self.classes)
        outlines = len(annotation.polygons) + len(annotation.masks)
        if len(annotation.boxes) > outlines:
            raise DataError(f"{len(annotation.boxes)} boxes, but only {outlines} outlines: boxes cannot train pixels")
        kept = Annotation(item.id, (), size, polygons=annotation.polygons, masks=annotation.masks)
        return Example(item, path, kept, size)

    def load(self, example: Example, augment: str) -> tuple[Tensor, dict[str, Tensor], tuple[int, int]]:
        """Load the image at the model's input size, and ``mask`` (1, side, side) uint8 of class indices, 255 = ignore.

        Args:
            augment: none; mirror; crop (random part and shape, then flip); anything else flips.
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
            both = v2.RandomHorizontalFlip(1.0 if augment == "mirror" else 0.5)(*both)
        return both[0].as_subclass(Tensor), {"mask": both[1].as_subclass(Tensor)}, size

    def weigh_classes(self, examples: Sequence[Example]) -> None:
        """Weigh classes by their share of the training pixels, of at most 1,000 images (``task.class_weights``)."""
        if self._options.class_weights == "none":
            return
        counts = np.zeros(len(self.classes), dtype=np.int64)
        for example in examples[:: -(-len(examples) // MOST_COUNTED)]:
            if example.annotation is not None and example.size is not None:
                numbers = label_map(example.annotation, example.size, self.classes, self._options.ignore_index)
                counts += np.bincount(numbers[numbers != IGNORE], minlength=len(counts))
        self._class_weights = torch.from_numpy(class_weights(counts)).float()

    def losses(self, model: Tapped, batch: Batch) -> tuple[Tensor, list[Tensor]]:
        """Cross-entropy (batch,), the mean over pixels that are not ignored (0 without any); and the feature maps.

        In training mode each pixel's is multiplied by the weight of its class, so the loss head learns to predict the
        weighted loss. In evaluation mode it is not: what reports and reviews read depends on no other image.
        """
        features, deep = model.maps(self.normalize(model, batch))
        wanted = torch.cat([target["mask"] for target in batch.targets]).long().to(features[0].device)
        logits = _resize(model.predict(deep).float(), wanted.shape[1:])  # (batch, classes, side, side)
        weights = self._class_weights.to(logits.device) if model.training and self._class_weights is not None else None
        pixel_losses = F.cross_entropy(logits, wanted, weights, ignore_index=IGNORE, reduction="none")
        counts = (wanted != IGNORE).sum(dim=(1, 2))
        return pixel_losses.sum(dim=(1, 2)) / counts.clamp(min=1), features

    def distributions(self, outputs: Tensor) -> Tensor:
        """Class probabilities at each position: (rows, positions, classes)."""
        return outputs.softmax(dim=1).flatten(2).transpose(1, 2)

    def evidence(self, outputs: Tensor) -> Tensor:
        """Mean probability of each class over positions: (rows, classes)."""
        return outputs.softmax(dim=1).mean(dim=(2, 3))

    def object_count(self, outputs: Tensor) -> Tensor:
        """Expected number of classes to outline: (rows,)."""
        return outputs.softmax(dim=1).amax(dim=(2, 3)).sum(dim=1)

    def predictions(self, model: Tapped, batch: Batch) -> list[Annotation]:
        """One mask for each class that occurs, at the size of the upright image."""
        logits = model(self.normalize(model, batch)).float()
        images = zip(batch.examples, logits, batch.sizes, strict=True)
        return [
            Annotation(
                example.item.id, (), size, masks=masks(_class_indices(scores, size, self.input_shape), self.classes)
            )
            for example, scores, size in images
        ]

    def given_signals(self, prediction: ImagePrediction) -> dict[str, np.ndarray]:
        """The signals of masks, or of shares of pixels, that another model gave."""
        return measures.of_regions(prediction, self.classes)

    def evaluate(self, examples: Sequence[Example], predictions: Iterable[Annotation]) -> dict[str, float]:
        """``miou`` over all pixels that are not ignored, and ``iou/CLASS``; classes that never occur are skipped.

        Raises:
            DataError: all pixels of all examples are ignored, or only one class occurs.
        """
        truth = {example.item.id: example.annotation for example in examples}
        count = len(self.classes)
        confusion = np.zeros((count, count), dtype=np.int64)  # (true class, predicted class)
        for prediction in predictions:
            annotation = truth[prediction.item_id]
            if annotation and prediction.size:
                true, predicted = (
                    label_map(part, prediction.size, self.classes, self._options.ignore_index)
                    for part in (annotation, prediction)
                )
                kept = (true != IGNORE) & (predicted != IGNORE)
                pairs = count * true[kept].astype(np.int64) + predicted[kept]
                confusion += np.bincount(pairs, minlength=count**2).reshape(count, count)
        if not confusion.any():
            raise DataError("No held-out image has a pixel that counts.", do="Look at the masks and task.ignore_index.")
        present = (confusion.sum(axis=0) + confusion.sum(axis=1)) > 0
        if present.sum() == 1:
            only = self.classes[int(present.argmax())]
            raise DataError(f"All held-out pixels are {only}: over one class only, mIoU says nothing.")
        return _intersections_over_unions(confusion, self.classes)

    def _check_ids(self, annotation: Annotation) -> None:
        unknown = {mask.pixel_id for mask in annotation.masks if mask.label == IGNORED and mask.pixel_id is not None}
        unknown -= {self._options.ignore_index}
        if unknown:
            listed = ", ".join(str(number) for number in sorted(unknown))
            mend = "name it, or ignore it" if len(unknown) == 1 else "name them, or ignore one of them"
            raise DataError(
                f"the mask has pixels of id {listed}, which the class list does not name; {mend}: "
                f"--set task.ignore_index={min(unknown)}"
            )


def _class_indices(logits: Tensor, size: tuple[int, int], shape: tuple[int, int]) -> np.ndarray:
    """The label map (height, width) at the image's size of logits (classes, h, w)."""
    width, height = size
    shrink = min(1.0, LONGEST_SIDE / max(size))
    smaller = (max(1, round(height * shrink)), max(1, round(width * shrink)))
    # First to the size of the network's input, as in training, then to the image's.
    numbers = _resize(_resize(logits.unsqueeze(0), shape), smaller).argmax(dim=1, keepdim=True)
    if shrink < 1:
        numbers = F.interpolate(numbers.float(), size=(height, width), mode="nearest")
    return numbers[0, 0].to(torch.uint8).cpu().numpy()


def _resize(logits: Tensor, shape: Sequence[int]) -> Tensor:
    return F.interpolate(logits, size=tuple(shape), mode="bilinear", align_corners=False)


def _intersections_over_unions(confusion: np.ndarray, classes: Sequence[str]) -> dict[str, float]:
    hits = np.diag(confusion)
    unions = confusion.sum(axis=0) + confusion.sum(axis=1) - hits
    present = unions > 0
    ious = hits[present] / unions[present]
    names = [name for name, occurs in zip(classes, present, strict=True) if occurs]
    return {"miou": float(ious.mean()), **{f"iou/{name}": float(iou) for name, iou in zip(names, ious, strict=True)}}
