"""Segmentation networks from torchvision's parts, cut before their last layer.

LR-ASPP: Howard et al., "Searching for MobileNetV3", ICCV 2019, section 6.4; DeepLabV3: Chen et al., 2017.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import MobileNet_V3_Large_Weights, mobilenet_v3_large
from torchvision.models.segmentation import deeplabv3_mobilenet_v3_large, lraspp_mobilenet_v3_large

from alcli.models.pyramid import MobileNetV2Pyramid
from alcli.models.tapped import Tapped
from alcli.models.weights import load_trunk


class Lraspp(Tapped):
    """torchvision's LR-ASPP; outputs at an eighth of the resolution, taps backbone low and high, decoder."""

    trunk_map = 1
    predictors = ("head.low_classifier", "head.high_classifier")

    def __init__(self, classes: int, weights: str) -> None:
        super().__init__()
        net = lraspp_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=classes)
        self.trunk, self.head = net.backbone, net.classifier
        _fill(self.trunk, weights)

    def maps(self, images: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Low, high and decoder; the last layer takes low and decoder."""
        stages = self.trunk(images)
        low, high = stages["low"], stages["high"]  # at strides 8 and 16
        gated = self.head.cbr(high) * self.head.scale(high)
        decoded = F.interpolate(gated, size=low.shape[-2:], mode="bilinear", align_corners=False)
        return [low, high, decoded], [low, decoded]

    def predict(self, deep: list[Tensor]) -> Tensor:
        """(rows, classes, H / 8, W / 8)."""
        low, decoded = deep
        return self.head.low_classifier(low) + self.head.high_classifier(decoded)


class Deeplab(Tapped):
    """torchvision's DeepLabV3; outputs at a sixteenth of the resolution, taps backbone low and high, decoder."""

    trunk_map = 1
    predictors = ("output",)

    def __init__(self, classes: int, weights: str) -> None:
        super().__init__()
        # With an auxiliary head the backbone also returns its low map; the head itself is not used.
        net = deeplabv3_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=classes, aux_loss=True)
        self.trunk, self.decoder, self.output = (
            net.backbone,
            nn.Sequential(*list(net.classifier)[:-1]),
            net.classifier[-1],
        )
        _fill(self.trunk, weights)

    def maps(self, images: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Low, high and decoder; the last layer takes the decoder's map."""
        stages = self.trunk(images)
        decoded = self.decoder(stages["out"])
        return [stages["aux"], stages["out"], decoded], [decoded]

    def predict(self, deep: list[Tensor]) -> Tensor:
        """(rows, classes, H / 16, W / 16)."""
        return self.output(deep[0])


def build(name: str, classes: int, weights: str) -> Tapped:
    """Build a network of ``MODELS`` for ``classes`` classes; raises DataError when the weights do not fit."""
    return MODELS[name](classes, weights)


def _fill(backbone: nn.Module, weights: str) -> None:
    make = partial(mobilenet_v3_large, dilated=True)
    trunk = load_trunk(make, MobileNet_V3_Large_Weights.IMAGENET1K_V1, weights)
    if trunk is not None:
        backbone.load_state_dict(trunk.features.state_dict())


MODELS: dict[str, Callable[[int, str], Tapped]] = {
    "lraspp-mobilenet-v3-large": Lraspp,
    "deeplabv3-mobilenet-v3-large": Deeplab,
    "mobilenet-v2": MobileNetV2Pyramid,
}
"""Names on the command line → builders of (classes, weights)."""

INPUT_SIZES = {"lraspp-mobilenet-v3-large": 320, "deeplabv3-mobilenet-v3-large": 320, "mobilenet-v2": 256}
"""Each model's own side in pixels."""
