"""SSD detectors from torchvision's parts, with a multibox loss per image, which torchvision lacks.

Liu et al., "SSD: Single Shot MultiBox Detector", ECCV 2016; SSDLite: Sandler et al., "MobileNetV2", CVPR 2018.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import (
    MobileNet_V2_Weights,
    MobileNet_V3_Large_Weights,
    VGG16_Weights,
    mobilenet_v2,
    mobilenet_v3_large,
    vgg16,
)
from torchvision.models.detection import ssd300_vgg16
from torchvision.models.detection.anchor_utils import DefaultBoxGenerator
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.ssd import SSD
from torchvision.models.detection.ssdlite import SSDLiteFeatureExtractorMobileNet, SSDLiteHead
from torchvision.ops import box_iou
from torchvision.ops.misc import Conv2dNormActivation

from alcli.errors import UsageError
from alcli.models.cell_detector import CellDetector
from alcli.models.compiled import CompiledDetector
from alcli.models.weights import UNTRAINED, load_trunk

NORM = partial(nn.BatchNorm2d, eps=0.001, momentum=0.03)
V3_LAST_HALVING = 13
"""Position of the last block with stride 2 in MobileNetV3-Large."""


@dataclass(frozen=True)
class Outputs:
    """Outputs of one forward pass.

    Attributes:
        features: source maps [(batch, C_i, H_i, W_i)].
        logits: (batch, anchors, 1 + classes), background first.
        regression: (batch, anchors, 4) offsets from the anchors.
        anchors: (anchors, 4) corners in pixels of the network's input.
    """

    features: list[Tensor]
    logits: Tensor
    regression: Tensor
    anchors: Tensor


def build(name: str, classes: int, weights: str, input_size: int | None) -> SSD:
    """Build a detector for ``classes`` classes, not counting the background.

    Args:
        name: a key of ``MODELS``.
        weights: none, imagenet, or a safetensors file of the trunk.
        input_size: side in pixels; None = the model's own.

    Raises:
        DataError: the weights do not fit.
    """
    return MODELS[name](classes + 1, weights, input_size or INPUT_SIZES[name])


def source_maps(model: SSD, images: Tensor) -> list[Tensor]:
    """Maps [(batch, C_i, H_i, W_i)] from which boxes are predicted; images: normalized (batch, 3, H, W)."""
    if isinstance(model, CompiledDetector):
        return model.outputs(images)[0]
    return list(model.backbone(images).values())


def forward(model: SSD, images: Tensor) -> Outputs:
    """Run the network without postprocessing; images: normalized (batch, 3, H, W) of the model's own size."""
    if isinstance(model, CompiledDetector):
        return Outputs(*model.outputs(images), model.anchors)
    features = source_maps(model, images)
    head = model.head(features)
    height, width = images.shape[-2:]
    one_image = ImageList(images[:1], [(height, width)])
    anchors = model.anchor_generator(one_image, [feature[:1] for feature in features])[0]
    return Outputs(features, head["cls_logits"].float(), head["bbox_regression"].float(), anchors)


def trunk(model: SSD) -> nn.Module:
    """The layers that pretrained weights fill; the extra layers behind them are random at birth."""
    backbone: Any = model.backbone
    part: nn.Module = backbone.trunk if hasattr(backbone, "trunk") else backbone.features
    return part


def trunk_maps(model: SSD, features: list[Tensor]) -> list[Tensor]:
    """The trunk's source maps: torchvision's trunks have two of them, those built here say how many."""
    backbone: Any = model.backbone
    return features[: len(backbone.trunk) if hasattr(backbone, "trunk") else 2]


def frozen_maps(model: SSD, images: Tensor) -> list[Tensor]:
    """The narrow maps between the trunk's stages, where it has some, else its source maps: inputs of a frozen head."""
    backbone: Any = model.backbone
    if isinstance(backbone, MobileNetV2Maps):
        return backbone.narrow_maps(images)
    return trunk_maps(model, source_maps(model, images))


def multibox_losses(
    model: SSD, outputs: Outputs, targets: list[dict[str, Tensor]], equal_boxes: bool = False
) -> Tensor:
    """Multibox loss of each image, normalized by its own matches (SSD eq. 1).

    Their mean weighted by each image's matches is torchvision's batch loss. An image without objects, which
    torchvision ignores, trains its three hardest background anchors.

    Args:
        equal_boxes: give each object of an image the same weight, however many anchors it matches.
        targets: per image ``boxes`` (k, 4) corners in input pixels and ``labels`` (k,) from 1.

    Returns:
        (batch,) losses, finite; each depends on its own image only.
    """
    if isinstance(model, CellDetector):
        return model.losses(outputs.logits, outputs.regression, outputs.anchors, targets)
    return torch.stack(
        [
            _image_loss(model, outputs, image, target, match(model, outputs.anchors, target["boxes"]), equal_boxes)
            for image, target in enumerate(targets)
        ]
    )


def match(model: SSD, anchors: Tensor, boxes: Tensor) -> Tensor:
    """(anchors,) index of the object that each anchor is matched to, −1 for background."""
    if len(boxes) == 0:
        return torch.full((len(anchors),), -1, dtype=torch.int64, device=anchors.device)
    return model.proposal_matcher(box_iou(boxes, anchors))


def box_weights(objects: Tensor) -> Tensor:
    """Weight of each matched anchor, with mean 1: those of each object have the same sum.

    Args:
        objects: (matches,) index of the object that each anchor is matched to.

    Returns:
        (matches,) float32.
    """
    counts = objects.bincount()  # (objects,)
    return len(objects) / ((counts > 0).sum() * counts[objects])


def _image_loss(
    model: SSD, outputs: Outputs, image: int, target: dict[str, Tensor], matched: Tensor, equal_boxes: bool
) -> Tensor:
    foreground = matched >= 0  # (anchors,)
    count = int(foreground.sum())
    wanted = model.box_coder.encode_single(target["boxes"][matched[foreground]], outputs.anchors[foreground])
    location = F.smooth_l1_loss(outputs.regression[image][foreground], wanted, reduction="none").sum(dim=1)
    labels = torch.zeros(len(matched), dtype=torch.int64, device=matched.device)
    labels[foreground] = target["labels"][matched[foreground]]
    confidence = F.cross_entropy(outputs.logits[image], labels, reduction="none")  # (anchors,)
    # Hard negative mining: the background anchors with the largest loss, three per match.
    background = confidence.detach().masked_fill(foreground, -torch.inf)
    negatives = min(int(model.neg_to_pos_ratio * max(count, 1)), len(matched) - count)
    hardest = background.topk(negatives, sorted=False).indices
    positive = location + confidence[foreground]  # (matches,)
    if equal_boxes:
        positive = box_weights(matched[foreground]) * positive
    return (positive.sum() + confidence[hardest].sum()) / max(count, 1)


def detections(model: SSD, outputs: Outputs, size: tuple[int, int]) -> list[dict[str, Tensor]]:
    """torchvision's postprocessing: per image ``boxes`` in input pixels, ``scores``, and ``labels`` from 1."""
    heads = {"bbox_regression": outputs.regression, "cls_logits": outputs.logits}
    count = len(outputs.logits)
    return model.postprocess_detections(heads, [outputs.anchors] * count, [size] * count)


def transplant_classes(model: SSD, state: dict[str, Tensor], old: list[str], new: list[str]) -> dict[str, Tensor]:
    """A state dict for the new classes: known classes keep their weights, new ones take the model's initial weights."""
    old_index = [0, *(1 + old.index(name) if name in old else -1 for name in new)]
    known = torch.tensor([index >= 0 for index in old_index])
    moved, fresh = dict(state), model.state_dict()
    for key in _class_keys(model):
        kept = state[key].unflatten(0, (-1, 1 + len(old)))[:, [max(index, 0) for index in old_index]]
        mask = known.view(1, -1, *[1] * (kept.dim() - 2))  # (1, 1 + classes, 1, …)
        moved[key] = torch.where(mask, kept, fresh[key].unflatten(0, (-1, 1 + len(new)))).flatten(0, 1)
    return moved


def _class_keys(model: SSD) -> list[str]:
    """Names of the tensors with one row per anchor and class: the last convolution over each source map."""
    keys = []
    for number, layer in enumerate(model.head.classification_head.module_list):
        inner = [name for name, module in layer.named_modules() if isinstance(module, nn.Conv2d)][-1]
        path = ".".join(part for part in ("head.classification_head.module_list", str(number), inner) if part)
        keys += [f"{path}.weight", f"{path}.bias"]
    return keys


class MobileNetV2Maps(nn.Module):
    """MobileNetV2 with source maps at strides 8, 16, 32 and three more halvings."""

    def __init__(self, trunk: nn.Sequential) -> None:
        super().__init__()
        # A stage's first block expands before it halves: its expansion layer is the widest map of the previous stride.
        third, fourth = list(trunk[7].conv), list(trunk[14].conv)  # type: ignore[arg-type]
        self.trunk = nn.ModuleList(
            [
                nn.Sequential(*trunk[:7], third[0]),
                nn.Sequential(*third[1:], *trunk[8:14], fourth[0]),
                nn.Sequential(*fourth[1:], *trunk[15:]),
            ]
        )
        self.extra = nn.ModuleList([_halving(1280, 512), _halving(512, 256), _halving(256, 128)])

    def forward(self, images: Tensor) -> OrderedDict[str, Tensor]:
        """(batch, 3, H, W) → six maps by name."""
        return _chain([*self.trunk, *self.extra], images)

    def narrow_maps(self, images: Tensor) -> list[Tensor]:
        """The maps between blocks at strides 4, 8, 16 and 32: 24, 32, 96 and 1280 channels."""
        third, fourth, last = (cast(nn.Sequential, stage) for stage in self.trunk)
        quarter = third[:4](images)
        eighth = third[4:7](quarter)
        sixteenth = fourth[:-1](third[7:](eighth))
        return [quarter, eighth, sixteenth, last(fourth[-1:](sixteenth))]


class TinyMaps(nn.Module):
    """Four small maps at strides 8 to 64; trains from scratch in a minute on two cores."""

    CHANNELS = (48, 64, 96, 96)

    def __init__(self) -> None:
        super().__init__()
        stem = nn.Sequential(_conv(3, 16, 2), _conv(16, 32, 2), _conv(32, self.CHANNELS[0], 2), _conv(48, 48, 1))
        pairs = zip(self.CHANNELS[:-1], self.CHANNELS[1:], strict=True)
        self.trunk = nn.ModuleList([stem, *(nn.Sequential(_conv(a, b, 2), _conv(b, b, 1)) for a, b in pairs)])

    def forward(self, images: Tensor) -> OrderedDict[str, Tensor]:
        """(batch, 3, H, W) → four maps by name."""
        return _chain(list(self.trunk), images)


def _chain(stages: list[nn.Module], images: Tensor) -> OrderedDict[str, Tensor]:
    maps = OrderedDict()
    for number, stage in enumerate(stages):
        images = stage(images)
        maps[str(number)] = images
    return maps


def _conv(inputs: int, outputs: int, stride: int) -> nn.Module:
    return Conv2dNormActivation(inputs, outputs, 3, stride)


def _halving(inputs: int, outputs: int) -> nn.Module:
    middle = outputs // 2
    return nn.Sequential(
        Conv2dNormActivation(inputs, middle, 1, activation_layer=nn.ReLU6),
        Conv2dNormActivation(middle, middle, 3, stride=2, groups=middle, activation_layer=nn.ReLU6),
        Conv2dNormActivation(middle, outputs, 1, activation_layer=nn.ReLU6),
    )


def _ssd300_vgg16(classes: int, weights: str, input_size: int) -> SSD:
    # torchvision accepts only its own download as trunk weights, so the trunk is built separately and copied in.
    model = ssd300_vgg16(weights=None, weights_backbone=None, num_classes=classes, trainable_backbone_layers=5)
    trunk = load_trunk(vgg16, VGG16_Weights.IMAGENET1K_FEATURES, weights)
    if trunk is not None:
        _copy_vgg(model, trunk.features)
    model.transform.fixed_size = (input_size, input_size)
    return model


def _copy_vgg(model: SSD, features: nn.Sequential) -> None:
    """Copy the weights of VGG's thirteen convolutions into the backbone, which has them in the same order."""
    sources = [layer for layer in features if isinstance(layer, nn.Conv2d)]
    targets = [layer for layer in model.backbone.modules() if isinstance(layer, nn.Conv2d)][: len(sources)]
    for target, source in zip(targets, sources, strict=True):
        target.load_state_dict(source.state_dict())


def _ssdlite320_mobilenet_v3(classes: int, weights: str, input_size: int) -> SSD:
    # As in torchvision, the trunk's tail is half as wide without pretrained weights.
    make = partial(mobilenet_v3_large, norm_layer=NORM, reduced_tail=weights in UNTRAINED)
    trunk = load_trunk(make, MobileNet_V3_Large_Weights.IMAGENET1K_V1, weights) or make(weights=None)
    maps = SSDLiteFeatureExtractorMobileNet(trunk.features, V3_LAST_HALVING, NORM)
    return _ssdlite(maps, classes, input_size, NORM, min_ratio=0.2, mean=0.5, std=0.5)


def _ssd_mobilenet_v2(classes: int, weights: str, input_size: int) -> SSD:
    trunk = load_trunk(mobilenet_v2, MobileNet_V2_Weights.IMAGENET1K_V1, weights) or mobilenet_v2(weights=None)
    return _ssdlite(MobileNetV2Maps(trunk.features), classes, input_size, nn.BatchNorm2d, min_ratio=0.08)


def _ssd_tiny(classes: int, weights: str, input_size: int) -> SSD:
    if weights not in UNTRAINED:
        raise UsageError(f"ssd-tiny has no pretrained weights, got {weights!r}.", do='Set model.weights = "none".')
    return _ssdlite(TinyMaps(), classes, input_size, nn.BatchNorm2d, min_ratio=0.12)


def _ssdlite(
    maps: nn.Module,
    classes: int,
    size: int,
    norm: Callable[..., nn.Module],
    min_ratio: float,
    mean: float | None = None,
    std: float | None = None,
) -> SSD:
    with torch.inference_mode():
        channels = [feature.shape[1] for feature in maps.eval()(torch.zeros(1, 3, size, size)).values()]
    maps.train()
    boxes = DefaultBoxGenerator([[2, 3]] * len(channels), min_ratio=min_ratio, max_ratio=0.95)
    head = SSDLiteHead(channels, boxes.num_anchors_per_location(), classes, norm)
    return SSD(
        maps,
        boxes,
        (size, size),
        classes,
        head=head,
        image_mean=[mean] * 3 if mean else None,
        image_std=[std] * 3 if std else None,
        score_thresh=0.001,
        nms_thresh=0.55,
        detections_per_img=300,
        topk_candidates=300,
    )


MODELS: dict[str, Callable[[int, str, int], SSD]] = {
    "ssd300-vgg16": _ssd300_vgg16,
    "ssdlite320-mobilenet-v3": _ssdlite320_mobilenet_v3,
    "ssd-mobilenet-v2": _ssd_mobilenet_v2,
    "ssd-tiny": _ssd_tiny,
}
"""Names on the command line → builders of (classes with background, weights, input size)."""

INPUT_SIZES = {"ssd300-vgg16": 300, "ssdlite320-mobilenet-v3": 320, "ssd-mobilenet-v2": 320, "ssd-tiny": 128}
"""Each model's own side in pixels."""
