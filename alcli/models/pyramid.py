"""MobileNetV2 with a feature pyramid: dense outputs at a quarter of the resolution, light enough for CPUs.

Sandler et al., "MobileNetV2", CVPR 2018; Lin et al., "Feature Pyramid Networks for Object Detection", CVPR 2017.
"""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn
from torchvision.models import MobileNet_V2_Weights, mobilenet_v2
from torchvision.ops import FeaturePyramidNetwork
from torchvision.ops.misc import Conv2dNormActivation

from alcli.models.tapped import Tapped
from alcli.models.weights import load_trunk

STAGES = ((0, 4), (4, 7), (7, 14), (14, 19))
"""Ranges of MobileNetV2's layers that end at strides 4, 8, 16 and 32."""
CHANNELS = (24, 32, 96, 1280)
WIDTH = 64


def mobilenet_v2_features(weights: str) -> nn.Sequential:
    """MobileNetV2's convolutions with the requested weights; raises DataError when a file does not fit."""
    trunk = load_trunk(mobilenet_v2, MobileNet_V2_Weights.IMAGENET1K_V1, weights) or mobilenet_v2(weights=None)
    return trunk.features


def near_zero_output(inputs: int, outputs: int) -> nn.Conv2d:
    """A last layer with outputs near zero at first, as in HRNet: random maps would start at a higher loss."""
    layer = nn.Conv2d(inputs, outputs, 1)
    nn.init.normal_(layer.weight, std=0.001)
    nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    return layer


class MobileNetV2Pyramid(Tapped):
    """Outputs (rows, outputs, H / 4, W / 4); taps the four stages and the decoder's map."""

    trunk_map = -2
    predictors = ("output",)

    def __init__(self, outputs: int, weights: str) -> None:
        super().__init__()
        layers = mobilenet_v2_features(weights)
        self.trunk = nn.ModuleList(layers[first:last] for first, last in STAGES)
        self.pyramid = FeaturePyramidNetwork(list(CHANNELS), WIDTH)
        self.decoder = Conv2dNormActivation(WIDTH, WIDTH, 3)
        self.output = near_zero_output(WIDTH, outputs)

    def maps(self, images: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Four stages and the decoder's map; the last layer takes the decoder's map."""
        stages = []
        for stage in self.trunk:
            images = stage(images)
            stages.append(images)
        levels = self.pyramid(OrderedDict((str(number), stage) for number, stage in enumerate(stages)))
        decoded = self.decoder(levels["0"])
        return [*stages, decoded], [decoded]

    def predict(self, deep: list[Tensor]) -> Tensor:
        """(rows, outputs, H / 4, W / 4)."""
        return self.output(deep[0])
