"""Object detection with SSD, RetinaNet or FCOS."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from torch import Tensor, nn
from torchvision import tv_tensors
from torchvision.transforms import v2

from alcli import images
from alcli.annotations import Annotation, Box
from alcli.config import ModelOptions, TaskOptions
from alcli.errors import DataError, UsageError
from alcli.items import ImageFacts, Item
from alcli.models import detectors, pixels, uncertainty
from alcli.models.cell_detector import CellDetector
from alcli.models.detectors import Detector
from alcli.models.pretrained import LIGHT
from alcli.models.tapped import pool_maps
from alcli.models.weights import UNTRAINED
from alcli.predictions import ImagePrediction, measures
from alcli.tasks import Batch, Example
from alcli.tasks._checks import check_class, clip_box, require_parts, upright
from alcli.tasks._detection_options import DetectionOptions

CONFIDENT = 0.05
MOST_BOXES = 100
DOUBTFUL = 0.2
"""Least probability of a box's second class for a tie."""


class Detection:
    """Detect objects with SSD, RetinaNet or FCOS; the features for the loss head are the maps that predict boxes."""

    light_model = LIGHT["detection"]
    models = detectors.MODELS
    unit = "boxes"
    sums_uncertainty = True
    Options = DetectionOptions
    signal_names = uncertainty.SIGNALS | {"tie"}
    # On BCCD after a short training, λ = 1 cost 6 to 8 points of AP50 and λ = 0.1 about 1, with equally good loss
    # ranking; λ = 0.03 cost nothing, but the ranking was worse.
    loss_weight = 0.1

    def __init__(self, options: DetectionOptions, model: ModelOptions, classes: Sequence[str]) -> None:
        """Args: ``classes``: names in the order of the model's outputs; raises UsageError for an unknown model."""
        self.model_name = model.name or self.light_model
        side = model.input_size or detectors.input_size(self.model_name)
        if detectors.is_pyramid(self.model_name) and options.box_weights != "anchors":
            raise UsageError(
                f"task.box_weights = {options.box_weights} is for SSD models, not for {self.model_name}.",
                do='Set task.box_weights = "anchors", or choose an SSD model.',
            )
        self.classes = tuple(classes)
        self._options, self._model = options, model
        self.pretrained = model.weights not in UNTRAINED
        self.input_shape = (side, side)

    @staticmethod
    def vocabulary(annotation: Annotation, options: TaskOptions) -> set[str]:
        """The classes of the boxes."""
        return {box.label for box in annotation.boxes}

    def build_model(self) -> Detector:
        """Build the detector with its starting weights; raises DataError when they do not fit."""
        return detectors.build(self.model_name, len(self.classes), self._model.weights, self._model.input_size)

    def backbone(self, model: Detector) -> nn.Module:
        """The trunk, without the extra layers behind it."""
        return detectors.trunk(model)

    def encode(self, item: Item, path: Path, facts: ImageFacts, annotation: Annotation) -> Example:
        """Build an example; boxes that exceed the image by up to two pixels are clipped.

        Raises:
            DataError: a box exceeds it by more, its class is unknown, or the annotation is for another image size.
        """
        require_parts(annotation, "boxes")
        for box in annotation.boxes:
            check_class(box.label, self.classes)
        boxes = tuple(clip_box(box, facts) for box in upright(annotation, facts).boxes)
        size = (facts.width, facts.height)
        return Example(item, path, Annotation(item.id, boxes, size), size)

    def load(self, example: Example, augment: str) -> tuple[Tensor, dict[str, Tensor], tuple[int, int]]:
        """Load the image at the model's input size, and its boxes on the same scale.

        Args:
            augment: none; mirror; ssd (the SSD paper's crops and colors); anything else flips. Uses
                torch's global generator.
        """
        side = self.input_shape[0]
        picture = images.load(example.path, at_least=(side, side))
        if example.annotation is None:
            return pixels.to_tensor(picture, (side, side)), {}, example.size or picture.size
        size = example.size or picture.size
        boxes = torch.tensor(
            [[box.x1, box.y1, box.x2, box.y2] for box in example.annotation.boxes], dtype=torch.float32
        ).view(-1, 4)
        labels = torch.tensor(
            [1 + self.classes.index(box.label) for box in example.annotation.boxes], dtype=torch.int64
        )
        # JPEG draft decoding may shrink the picture, so boxes are scaled from the original size.
        boxes = boxes * (torch.tensor([side, side]) / torch.tensor(size)).repeat(2)
        tensor = pixels.to_tensor(picture, (side, side))
        if augment == "none":
            return tensor, {"boxes": boxes, "labels": labels}, size
        return (*_augment(tensor, boxes, labels, augment, side), size)

    def losses(self, model: Detector, batch: Batch) -> tuple[Tensor, list[Tensor]]:
        """Loss of each image (batch,), and the source maps."""
        outputs = detectors.forward(model, self._normalize(model, batch))
        targets = [{key: value.to(outputs.logits.device) for key, value in target.items()} for target in batch.targets]
        with torch.autocast(outputs.logits.device.type, enabled=False):
            losses = detectors.losses(model, outputs, targets, self._options.box_weights == "boxes")
            return losses, outputs.features

    def trunk_maps(self, model: Detector, batch: Batch) -> list[Tensor]:
        """The trunk's maps that a frozen head is trained on."""
        return detectors.frozen_maps(model, self._normalize(model, batch))

    def frozen_head(self, shapes: Sequence[tuple[int, int, int]]) -> Detector:
        """A detector with one anchor per cell over memorized trunk maps (channels, height, width)."""
        return CellDetector(shapes, 1, len(self.classes), self.input_shape)

    def features(self, model: Detector, batch: Batch) -> list[Tensor]:
        """The source maps."""
        return detectors.source_maps(model, self._normalize(model, batch))

    def signals(self, model: Detector, batch: Batch, needs: frozenset[str]) -> tuple[dict[str, Tensor], list[Tensor]]:
        """The signals of each image; the box predictors run only if a signal needs them.

        Uncertainties are computed over classes and background for each distinct box with a foreground probability
        ≥ 0.05, aggregated by ``task.aggregate`` and divided by expected objects^``task.count_power``; −1, unknown,
        without such a box. ``class_scores``: each class's largest probability in any box. ``class_uncertainty``: each
        box's entropy, shared among its classes. ``expected_objects``: sum of the foreground probabilities. ``tie``: the
        box whose two most probable classes are closest. ``embedding``: the pooled last map of the trunk.
        """
        if needs <= {"predicted_loss", "embedding", "output_discrepancy"}:
            signals, features = {}, self.features(model, batch)
        else:
            outputs = detectors.forward(model, self._normalize(model, batch))
            features = outputs.features
            signals = self._output_signals(model, features, outputs, needs)
        if "embedding" in needs:
            signals["embedding"] = uncertainty.embedding(pool_maps(detectors.trunk_maps(model, features)[-1:]))
        return signals, features

    def discrepancy(self, model: Detector, previous: Detector, batch: Batch) -> Tensor:
        """½‖p − q‖² between both models' probabilities at this model's confident boxes, aggregated: (batch,)."""
        inputs = self._normalize(model, batch)
        now, before = detectors.forward(model, inputs), detectors.forward(previous, inputs)
        anchors = detectors.confident_anchors(now, model, CONFIDENT, MOST_BOXES)
        ours, theirs = (_at_anchors(outputs.logits, anchors) for outputs in (now, before))
        distances = [uncertainty.discrepancy(*pair) for pair in zip(ours, theirs, strict=True)]
        return uncertainty.aggregate(distances, _object_counts(ours), self._options)

    def predictions(self, model: Detector, batch: Batch) -> list[Annotation]:
        """Boxes from torchvision's postprocessing, most confident first, in pixels of the upright image."""
        outputs = detectors.forward(model, self._normalize(model, batch))
        side = batch.images.shape[-1]
        images = zip(batch.examples, detectors.detections(model, outputs, (side, side)), batch.sizes, strict=True)
        return [self._prediction(example, detected, size, side) for example, detected, size in images]

    def given_signals(self, prediction: ImagePrediction) -> dict[str, np.ndarray]:
        """The signals of boxes that another detector gave."""
        return measures.of_boxes(prediction, self.classes, self._options)

    def evaluate(self, examples: Sequence[Example], predictions: Iterable[Annotation]) -> dict[str, float]:
        """COCO average precision from pycocotools: ``map`` over IoU 0.50:0.95, and ``ap50``, both in [0, 1].

        ``ap/CLASS`` and ``ap50/CLASS`` are those of each class that has an object.

        Raises:
            DataError: no example has an object.
        """
        truth = {example.item.id: example.annotation for example in examples}
        if not any(annotation and annotation.boxes for annotation in truth.values()):
            raise DataError("No held-out image has an object.", do="Annotate more, or set train.validation higher.")
        predicted = {prediction.item_id: prediction for prediction in predictions}
        numbers = {item_id: number for number, item_id in enumerate(truth, 1)}
        with contextlib.redirect_stdout(io.StringIO()):
            coco = self._coco(truth, numbers)
            boxes = [box for item_id in truth for box in self._coco_boxes(predicted[item_id], numbers[item_id])]
            if not boxes:
                return _precisions(
                    np.array([[0.0 if n in coco.catToImgs else -1.0 for n in coco.getCatIds()]]), self.classes
                )
            evaluation = COCOeval(coco, coco.loadRes(boxes), "bbox")
            # Small, medium and large boxes, and fewer than 100 of them, would be computed as well, and read by nobody.
            evaluation.params.areaRng, evaluation.params.areaRngLbl = evaluation.params.areaRng[:1], ["all"]
            evaluation.params.maxDets = [MOST_BOXES]
            evaluation.evaluate()
            evaluation.accumulate()
        precision = evaluation.eval["precision"]  # (IoU thresholds, recalls, classes, 1, 1), −1 without an object
        return _precisions(precision[..., 0, 0].mean(axis=1), self.classes)

    def adapt(self, model: Detector, state: dict[str, Tensor], classes: Sequence[str]) -> dict[str, Tensor]:
        """Move the classification head's weights to this task's classes; new classes keep their initial weights."""
        return detectors.transplant_classes(model, state, list(classes), list(self.classes))

    def _normalize(self, model: Detector, batch: Batch) -> Tensor:
        device = next(model.parameters()).device
        return pixels.normalize(batch.images.to(device, non_blocking=True), *detectors.image_statistics(model))

    def _output_signals(
        self, model: Detector, features: list[Tensor], outputs: detectors.Outputs, needs: frozenset[str]
    ) -> dict[str, Tensor]:
        anchors = detectors.confident_anchors(outputs, model, CONFIDENT, MOST_BOXES)
        probabilities = _at_anchors(outputs.logits, anchors)  # per image (boxes, 1 + classes)
        counts = _object_counts(probabilities)
        blank = outputs.logits.new_zeros(1, len(self.classes))
        signals = {
            "expected_objects": counts,
            "class_scores": torch.stack([torch.cat([blank, part[:, 1:]]).amax(dim=0) for part in probabilities]),
        }
        if "class_uncertainty" in needs:
            signals["class_uncertainty"] = torch.stack([_class_uncertainty(part) for part in probabilities])
        if "tie" in needs:
            boxes = detectors.boxes_at(model, outputs, anchors)
            pairs = zip(probabilities, boxes, strict=True)
            signals["tie"] = torch.stack([_tie(*pair, self.input_shape[0]) for pair in pairs])
        for name in needs & uncertainty.UNCERTAINTIES.keys():
            values = [uncertainty.UNCERTAINTIES[name](part) for part in probabilities]
            signals[name] = uncertainty.aggregate(values, counts, self._options)
        if "mutual_information" in needs:
            samples = uncertainty.dropout_samples(features, self._options)
            heads = (detectors.class_logits(model, maps) for maps in samples)
            passes = [_at_anchors(logits.float(), anchors) for logits in heads]
            values = [uncertainty.mutual_information(iter(parts)) for parts in zip(*passes, strict=True)]
            signals["mutual_information"] = uncertainty.aggregate(values, counts, self._options)
        return signals

    def _prediction(
        self, example: Example, detected: dict[str, Tensor], size: tuple[int, int], side: int
    ) -> Annotation:
        scale = (torch.tensor(size) / side).repeat(2)
        boxes = [
            Box(self.classes[label - 1], corners[0], corners[1], corners[2], corners[3], score)
            for corners, score, label in zip(
                (detected["boxes"].cpu() * scale).tolist(),
                detected["scores"].tolist(),
                detected["labels"].tolist(),
                strict=True,
            )
            if corners[0] < corners[2] and corners[1] < corners[3]
        ]
        boxes.sort(key=lambda box: -(box.score or 0))
        return Annotation(example.item.id, tuple(boxes), size)

    def _coco(self, truth: dict[str, Annotation | None], numbers: dict[str, int]) -> COCO:
        boxes = [
            box
            for item_id, annotation in truth.items()
            if annotation
            for box in self._coco_boxes(annotation, numbers[item_id])
        ]
        coco = COCO()
        coco.dataset = {
            "images": [{"id": number} for number in numbers.values()],
            "categories": [{"id": number, "name": name} for number, name in enumerate(self.classes, 1)],
            "annotations": [
                {**box, "id": number, "iscrowd": 0, "area": box["bbox"][2] * box["bbox"][3]}
                for number, box in enumerate(boxes, 1)
            ],
        }
        coco.createIndex()
        return coco

    def _coco_boxes(self, annotation: Annotation, image: int) -> list[dict]:
        return [
            {
                "image_id": image,
                "category_id": 1 + self.classes.index(box.label),
                "bbox": [box.x1, box.y1, box.x2 - box.x1, box.y2 - box.y1],
                "score": box.score if box.score is not None else 1.0,
            }
            for box in annotation.boxes
        ]


def _precisions(precision: np.ndarray, classes: Sequence[str]) -> dict[str, float]:
    """The metrics from (IoU thresholds, classes) average precisions; −1 for a class without an object."""
    present = np.flatnonzero((precision > -1).all(axis=0)).tolist()
    metrics = {"map": float(precision[:, present].mean()), "ap50": float(precision[0, present].mean())}
    metrics |= {f"ap/{classes[index]}": float(precision[:, index].mean()) for index in present}
    return metrics | {f"ap50/{classes[index]}": float(precision[0, index]) for index in present}


def _class_uncertainty(probabilities: Tensor) -> Tensor:
    """Σ over boxes of entropy × P(class | object): (boxes, 1 + classes) → (classes,) in nats."""
    objects = probabilities[:, 1:]
    return (uncertainty.entropy(probabilities)[:, None] * objects / objects.sum(dim=1, keepdim=True)).sum(dim=0)


def _at_anchors(logits: Tensor, anchors: Sequence[Tensor]) -> list[Tensor]:
    """The probabilities (k, 1 + classes) at each image's chosen anchors; logits: (batch, anchors, 1 + classes)."""
    return [logits[image, chosen].softmax(dim=1) for image, chosen in enumerate(anchors)]


def _object_counts(probabilities: Sequence[Tensor]) -> Tensor:
    """Expected objects (batch,): the sum of the foreground probabilities."""
    return torch.stack([(1 - part[:, 0]).sum() for part in probabilities])


def _tie(probabilities: Tensor, boxes: Tensor, side: int) -> Tensor:
    """Signal ``tie`` (6,): two classes, their closeness, the box's center, and the larger probability; else zeros.

    Args:
        probabilities: (k, 1 + classes). boxes: (k, 4) corners in input pixels.
    """
    probabilities, boxes = probabilities.float(), boxes.float()
    no_tie = boxes.new_zeros(6)
    if len(boxes) == 0 or probabilities.shape[1] < 3:
        return no_tie
    values, classes = probabilities[:, 1:].topk(2, dim=1)  # (k, 2)
    closeness = (1 - (values[:, 0] - values[:, 1])).where(values[:, 1] >= DOUBTFUL, 0)
    box = closeness.argmax()
    if not closeness[box]:
        return no_tie
    center = ((boxes[box, :2] + boxes[box, 2:]) / 2 / side).clamp(0, 1)
    return torch.cat([classes[box].float(), closeness[box].view(1), center, values[box, :1]])


def _augment(
    tensor: Tensor, boxes: Tensor, labels: Tensor, augment: str, side: int
) -> tuple[Tensor, dict[str, Tensor]]:
    """Flip, or apply the SSD paper's augmentations; boxes outside the crop are dropped with their labels."""
    fill = {tv_tensors.Image: (123, 117, 104), "others": 0}
    chains = {
        "flip": [v2.RandomHorizontalFlip()],
        "mirror": [v2.RandomHorizontalFlip(p=1)],
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
    picture, target = v2.Compose(chains.get(augment, chains["flip"]))(tv_tensors.Image(tensor), target)
    return picture.as_subclass(Tensor), {
        "boxes": target["boxes"].as_subclass(Tensor),
        "labels": target["labels"],
    }
