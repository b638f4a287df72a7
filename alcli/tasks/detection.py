"""Object detection with SSD."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from torch import Tensor, nn
from torchvision import tv_tensors
from torchvision.models.detection.ssd import SSD
from torchvision.transforms import v2

from alcli import images
from alcli.config import ModelOptions, TaskOptions
from alcli.errors import DataError, UsageError
from alcli.items import Annotation, Box, ImageFacts, Item
from alcli.models import ssd
from alcli.plugins import did_you_mean
from alcli.tasks import Batch, Example

OVERHANG = 2.0
"""Pixels by which a box may stick out of its image; it is clipped. More is a broken annotation."""
CONFIDENT = 0.05
MOST_BOXES = 100


class Detection:
    """Find boxes with SSD (Liu et al., ECCV 2016); the features for the loss head are its source maps."""

    light_model = "ssd-mobilenet-v2"
    models = tuple(ssd.MODELS)
    signal_names = frozenset({"predicted_loss", "entropy"})

    def __init__(self, options: TaskOptions, model: ModelOptions, classes: Sequence[str]) -> None:
        """Args: ``classes``: names in the order of the model's outputs; raises UsageError for an unknown model."""
        self.model_name = model.name or self.light_model
        if self.model_name not in ssd.MODELS:
            raise UsageError(
                f"Detection has no model {self.model_name!r}.", do=did_you_mean(self.model_name, ssd.MODELS)
            )
        self.classes = tuple(classes)
        self._options, self._model = options, model
        side = model.input_size or ssd.INPUT_SIZES[self.model_name]
        self.input_shape = (side, side)

    def build_model(self) -> SSD:
        """The SSD with its starting weights; raises DataError when they do not fit."""
        return ssd.build(self.model_name, len(self.classes), self._model.weights, self._model.input_size)

    def backbone(self, model: SSD) -> nn.Module:
        """Trunk and extra layers."""
        return model.backbone

    def encode(self, item: Item, path: Path, facts: ImageFacts, annotation: Annotation) -> Example:
        """The example with boxes clipped by up to two pixels.

        Raises:
            DataError: a box reaches further out, its class is unknown, or the annotator saw another image size.
        """
        width, height = facts.width, facts.height
        if annotation.size and annotation.size != (width, height):
            seen = "{}×{}".format(*annotation.size)
            turned = " (turned by EXIF?)" if annotation.size == (height, width) else ""
            raise DataError(f"the annotation is for {seen} pixels, the upright image has {width}×{height}{turned}")
        boxes = tuple(self._clipped(box, width, height) for box in annotation.boxes)
        return Example(item, path, Annotation(item.id, boxes, (width, height)), (width, height))

    def load(self, example: Example, augment: str) -> tuple[Tensor, dict[str, Tensor], tuple[int, int]]:
        """The image at the model's input size, its boxes scaled with it.

        Args:
            augment: none, flip, or ssd (crops and colours of the SSD paper); its randomness is torch's global one.
        """
        side = self.input_shape[0]
        picture = images.load(example.path, at_least=(side, side))
        if example.annotation is None:
            return images.to_tensor(picture, (side, side)), {}, example.size or picture.size
        size = example.size or picture.size
        boxes = torch.tensor(
            [[box.x1, box.y1, box.x2, box.y2] for box in example.annotation.boxes], dtype=torch.float32
        ).view(-1, 4)
        labels = torch.tensor(
            [1 + self.classes.index(box.label) for box in example.annotation.boxes], dtype=torch.int64
        )
        # A draft decode is smaller than the original: boxes follow by the ratio of the sizes.
        boxes = boxes * (torch.tensor([side, side]) / torch.tensor(size)).repeat(2)
        tensor = images.to_tensor(picture, (side, side))
        if augment == "none":
            return tensor, {"boxes": boxes, "labels": labels}, size
        return (*_augmented(tensor, boxes, labels, augment, side), size)

    def losses(self, model: SSD, batch: Batch) -> tuple[Tensor, list[Tensor]]:
        """Per-image multibox losses and the source maps."""
        outputs = ssd.forward(model, self._normalised(model, batch))
        targets = [{key: value.to(outputs.logits.device) for key, value in target.items()} for target in batch.targets]
        with torch.autocast(outputs.logits.device.type, enabled=False):
            return ssd.multibox_losses(model, outputs, targets), outputs.features

    def features(self, model: SSD, batch: Batch) -> list[Tensor]:
        """The source maps."""
        return ssd.source_maps(model, self._normalised(model, batch))

    def signals(self, model: SSD, batch: Batch, needs: frozenset[str]) -> tuple[dict[str, Tensor], list[Tensor]]:
        """Signals about each image; the box predictors run only when something but the loss head needs them.

        ``entropy``: of the distinct boxes with a foreground probability ≥ 0.05, the entropies over classes and
        background, as one number by ``task.aggregate``; an image without such a box has entropy 0.
        """
        if needs <= {"predicted_loss"}:
            return {}, self.features(model, batch)
        outputs = ssd.forward(model, self._normalised(model, batch))
        found = ssd.confident_boxes(outputs, model, CONFIDENT, MOST_BOXES)
        entropies = [self._aggregated(probabilities) for _, probabilities in found]
        return {"entropy": torch.stack(entropies)}, outputs.features

    def predictions(self, model: SSD, batch: Batch) -> list[Annotation]:
        """torchvision's boxes for each image, most confident first, in pixels of the upright image."""
        outputs = ssd.forward(model, self._normalised(model, batch))
        side = batch.images.shape[-1]
        rows = zip(batch.examples, ssd.detections(model, outputs, (side, side)), batch.sizes, strict=True)
        return [self._prediction(example, found, size, side) for example, found, size in rows]

    def evaluate(self, examples: Sequence[Example], predictions: Iterable[Annotation]) -> dict[str, float]:
        """COCO average precision by pycocotools: ``map`` over IoU 0.50:0.95, and ``ap50``, both in [0, 1].

        Raises:
            DataError: no example has an object, so that there is nothing to find.
        """
        truth = {example.item.id: example.annotation for example in examples}
        if not any(annotation and annotation.boxes for annotation in truth.values()):
            raise DataError("No held-out image has an object.", do="Annotate more, or set train.validation higher.")
        found = {prediction.item_id: prediction for prediction in predictions}
        numbers = {item_id: number for number, item_id in enumerate(truth, 1)}
        with contextlib.redirect_stdout(io.StringIO()):
            coco = self._coco(truth, numbers)
            rows = [row for item_id in truth for row in self._rows(found[item_id], numbers[item_id])]
            if not rows:
                return {"map": 0.0, "ap50": 0.0}
            evaluation = COCOeval(coco, coco.loadRes(rows), "bbox")
            evaluation.evaluate()
            evaluation.accumulate()
            evaluation.summarize()
        return {"map": float(evaluation.stats[0]), "ap50": float(evaluation.stats[1])}

    def adapt(self, model: SSD, state: dict[str, Tensor], classes: Sequence[str]) -> dict[str, Tensor]:
        """The classification head's rows moved to this task's classes; new classes start fresh."""
        return ssd.transplant_classes(model, state, list(classes), list(self.classes))

    def _clipped(self, box: Box, width: int, height: int) -> Box:
        if box.label not in self.classes:
            raise DataError(f"class {box.label!r} is not one of {', '.join(self.classes)}")
        over = max(-box.x1, -box.y1, box.x2 - width, box.y2 - height)
        if over > OVERHANG:
            shown = f"({box.x1:g}, {box.y1:g}, {box.x2:g}, {box.y2:g})"
            raise DataError(f"box {shown} of class {box.label!r} reaches {over:g} pixels out of {width}×{height}")
        return Box(box.label, max(box.x1, 0), max(box.y1, 0), min(box.x2, width), min(box.y2, height))

    def _normalised(self, model: SSD, batch: Batch) -> Tensor:
        device = next(model.parameters()).device
        return images.normalise(
            batch.images.to(device, non_blocking=True), model.transform.image_mean, model.transform.image_std
        )

    def _aggregated(self, probabilities: Tensor) -> Tensor:
        entropies = torch.special.entr(probabilities).sum(dim=1)
        if len(entropies) == 0:
            return probabilities.new_zeros(())
        whole: Tensor = getattr(entropies, self._options.aggregate)()
        # Crowded images win a sum; dividing by a power of the expected objects takes the crowd out.
        expected = (1 - probabilities[:, 0]).sum().clamp(min=1)
        return whole / expected**self._options.count_power

    def _prediction(self, example: Example, found: dict[str, Tensor], size: tuple[int, int], side: int) -> Annotation:
        scale = (torch.tensor(size) / side).repeat(2)
        boxes = [
            Box(self.classes[label - 1], corners[0], corners[1], corners[2], corners[3], score)
            for corners, score, label in zip(
                (found["boxes"].cpu() * scale).tolist(),
                found["scores"].tolist(),
                found["labels"].tolist(),
                strict=True,
            )
            if corners[0] < corners[2] and corners[1] < corners[3]
        ]
        boxes.sort(key=lambda box: -(box.score or 0))
        return Annotation(example.item.id, tuple(boxes), size)

    def _coco(self, truth: dict[str, Annotation | None], numbers: dict[str, int]) -> COCO:
        rows = [
            row
            for item_id, annotation in truth.items()
            if annotation
            for row in self._rows(annotation, numbers[item_id])
        ]
        coco = COCO()
        coco.dataset = {
            "images": [{"id": number} for number in numbers.values()],
            "categories": [{"id": number, "name": name} for number, name in enumerate(self.classes, 1)],
            "annotations": [
                {**row, "id": number, "iscrowd": 0, "area": row["bbox"][2] * row["bbox"][3]}
                for number, row in enumerate(rows, 1)
            ],
        }
        coco.createIndex()
        return coco

    def _rows(self, annotation: Annotation, image: int) -> list[dict]:
        return [
            {
                "image_id": image,
                "category_id": 1 + self.classes.index(box.label),
                "bbox": [box.x1, box.y1, box.x2 - box.x1, box.y2 - box.y1],
                "score": box.score if box.score is not None else 1.0,
            }
            for box in annotation.boxes
        ]


def _augmented(
    tensor: Tensor, boxes: Tensor, labels: Tensor, augment: str, side: int
) -> tuple[Tensor, dict[str, Tensor]]:
    """Flip, or the SSD paper's chain, by torchvision; boxes cropped away are dropped with their labels."""
    fill = {tv_tensors.Image: (123, 117, 104), "others": 0}
    chains = {
        "flip": [v2.RandomHorizontalFlip()],
        "ssd": [
            v2.RandomPhotometricDistort(),
            v2.RandomZoomOut(fill=fill, side_range=(1.0, 2.0)),
            v2.RandomIoUCrop(),
            v2.RandomHorizontalFlip(),
            v2.Resize((side, side), antialias=True),
            v2.SanitizeBoundingBoxes(),
        ],
    }
    target = {
        "boxes": tv_tensors.BoundingBoxes(boxes, format="XYXY", canvas_size=(side, side)),
        "labels": labels,
    }
    picture, target = v2.Compose(chains[augment])(tv_tensors.Image(tensor), target)
    return picture.as_subclass(Tensor), {
        "boxes": target["boxes"].as_subclass(Tensor),
        "labels": target["labels"],
    }
