"""Every detector by name, and what the task asks of one, whichever family it is of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from torch import Tensor, nn
from torchvision.models.detection.ssd import SSD
from torchvision.ops import batched_nms

from alcli.errors import UsageError
from alcli.models import pyramid_detector, ssd
from alcli.models.pyramid_detector import PyramidDetector, PyramidOutputs
from alcli.models.ssd import Outputs
from alcli.system.text import did_you_mean

Detector: TypeAlias = SSD | PyramidDetector
MODELS = (*ssd.MODELS, *pyramid_detector.EXAMPLES)
"""Names to list; ``retinanet-`` and ``fcos-`` take the name of any timm network with stages."""


def is_pyramid(name: str) -> bool:
    """Whether a name is that of a RetinaNet or an FCOS."""
    return pyramid_detector.is_known(name)


def input_size(name: str) -> int:
    """The side of the images that a detector takes by default; raises UsageError for an unknown name."""
    if is_pyramid(name):
        return pyramid_detector.INPUT_SIZE
    if name not in ssd.MODELS:
        raise UsageError(f"Detection has no model {name!r}.", do=did_you_mean(name, MODELS))
    return ssd.INPUT_SIZES[name]


def build(name: str, classes: int, weights: str, side: int | None) -> Detector:
    """Build a detector for ``classes`` classes, not counting the background.

    Raises:
        UsageError: there is no such network, or it cannot carry a detector.
        DataError: the weights do not fit.
    """
    own_side = input_size(name)  # refuses an unknown name
    make = pyramid_detector.build if is_pyramid(name) else ssd.build
    return make(name, classes, weights, side or own_side)


def trunk(model: Detector) -> nn.Module:
    """The layers that pretrained weights fill."""
    return model.trunk if isinstance(model, PyramidDetector) else ssd.trunk(model)


def image_statistics(model: Detector) -> tuple[list[float], list[float]]:
    """(mean, std) that the network's input is normalized by."""
    transform = model.net.transform if isinstance(model, PyramidDetector) else model.transform
    return transform.image_mean, transform.image_std


def source_maps(model: Detector, images: Tensor) -> list[Tensor]:
    """Maps [(batch, C_i, H_i, W_i)] for the loss head; images: normalized (batch, 3, H, W)."""
    return model.maps(images) if isinstance(model, PyramidDetector) else ssd.source_maps(model, images)


def trunk_maps(model: Detector, features: list[Tensor]) -> list[Tensor]:
    """Those of the source maps that are the trunk's, its last map at the end."""
    return features[-1:] if isinstance(model, PyramidDetector) else ssd.trunk_maps(model, features)


def frozen_maps(model: Detector, images: Tensor) -> list[Tensor]:
    """The trunk's maps that a frozen head is trained on, the finest first."""
    return model.trunk_stages(images) if isinstance(model, PyramidDetector) else ssd.frozen_maps(model, images)


def forward(model: Detector, images: Tensor) -> Outputs:
    """Run the network without postprocessing; images: normalized (batch, 3, H, W) of the model's own size."""
    outputs: Outputs = model(images) if isinstance(model, PyramidDetector) else ssd.forward(model, images)
    return outputs


def class_logits(model: Detector, features: list[Tensor]) -> Tensor:
    """(batch, anchors, 1 + classes) from source maps, background first."""
    if isinstance(model, PyramidDetector):
        return model.class_logits(features)
    logits: Tensor = model.head.classification_head(features)
    return logits


def losses(model: Detector, outputs: Outputs, targets: list[dict[str, Tensor]], equal_boxes: bool) -> Tensor:
    """The loss of each image (batch,), each of its own image only.

    Args:
        equal_boxes: give each object of an image the same weight; SSD only.
        targets: per image ``boxes`` (k, 4) corners in input pixels and ``labels`` (k,) from 1.
    """
    if isinstance(model, PyramidDetector) and isinstance(outputs, PyramidOutputs):
        return model.losses(outputs, targets)
    return ssd.multibox_losses(model, outputs, targets, equal_boxes)


def confident_anchors(outputs: Outputs, model: Detector, threshold: float, most: int) -> list[Tensor]:
    """Select the anchors of confident, distinct boxes by class-agnostic non-maximum suppression.

    Args:
        threshold: least foreground probability. most: candidates per image before suppression.

    Returns:
        Per image the indices (k,) of its anchors, the best first.
    """
    # The foreground of a softmax alone: over four classes torch's softmax takes nine times as long.
    odds = (outputs.logits[:, :, 1:] - outputs.logits[:, :, :1]).exp().sum(dim=2)
    foreground = 1 - 1 / (1 + odds)  # (batch, anchors)
    ranking = foreground
    if isinstance(model, PyramidDetector) and isinstance(outputs, PyramidOutputs):
        ranking = model.ranking(outputs)
    score, anchor = ranking.topk(min(most, ranking.shape[1]), dim=1)  # (batch, candidates)
    image, position = (foreground.gather(1, anchor) >= threshold).nonzero(as_tuple=True)
    chosen = anchor[image, position]
    boxes = _decode(model, outputs.regression[image, chosen], outputs.anchors[chosen])
    overlap = model.net.nms_thresh if isinstance(model, PyramidDetector) else model.nms_thresh
    kept = batched_nms(boxes, score[image, position], image, overlap)
    kept = kept[image[kept].argsort(stable=True)]
    counts = image[kept].bincount(minlength=len(foreground)).tolist()
    return list(chosen[kept].split(counts))


def boxes_at(model: Detector, outputs: Outputs, chosen: Sequence[Tensor]) -> list[Tensor]:
    """Decode each image's boxes (k, 4) at its chosen anchors, in input pixels."""
    return [
        _decode(model, outputs.regression[image, anchors], outputs.anchors[anchors])
        for image, anchors in enumerate(chosen)
    ]


def detections(model: Detector, outputs: Outputs, size: tuple[int, int]) -> list[dict[str, Tensor]]:
    """torchvision's postprocessing: per image ``boxes`` in input pixels, ``scores``, and ``labels`` from 1."""
    if isinstance(model, PyramidDetector) and isinstance(outputs, PyramidOutputs):
        return model.detections(outputs, size)
    return ssd.detections(model, outputs, size)


def transplant_classes(model: Detector, state: dict[str, Tensor], old: list[str], new: list[str]) -> dict[str, Tensor]:
    """A state dict for the new classes: known classes keep their weights, new ones the model's initial weights."""
    if isinstance(model, PyramidDetector):
        return model.transplant_classes(state, old, new)
    return ssd.transplant_classes(model, state, old, new)


def _decode(model: Detector, regression: Tensor, anchors: Tensor) -> Tensor:
    if isinstance(model, PyramidDetector):
        return model.decode(regression, anchors)
    boxes: Tensor = model.box_coder.decode_single(regression, anchors)
    return boxes
