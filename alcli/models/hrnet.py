"""HRNet for heatmaps on timm's trunk (Sun et al., "Deep High-Resolution Representation Learning", CVPR 2019)."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from alcli.models.pyramid import MobileNetV2Pyramid, near_zero_output
from alcli.models.tapped import Tapped
from alcli.models.timm_networks import timm_trunk

CLASSIFIER_PARTS = ("incre_modules", "downsamp_modules", "final_layer", "global_pool", "head_drop", "classifier")


class HeatmapHrnet(Tapped):
    """One heatmap per joint at a quarter of the resolution.

    For hrnet-w32 and an input of (3, 256, 192) the nine taps are [64, 128, 96], [64, 64, 48] of the stem, [256, 64, 48]
    of stage 1, [32, 64, 48] and [64, 32, 24] of stage 2, [32, 64, 48], [64, 32, 24] and [128, 16, 12] of stage 3, and
    [32, 64, 48], the finest branch of stage 4, from which the heatmaps are made.
    """

    predictors = ("output",)

    def __init__(self, timm_name: str, joints: int, weights: str) -> None:
        super().__init__()
        self.trunk = timm_trunk(timm_name, weights)
        for part in CLASSIFIER_PARTS:
            delattr(self.trunk, part)
        finest: int = self.trunk.stage4_cfg["num_channels"][0]
        self.output = near_zero_output(finest, joints)

    def maps(self, images: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Nine maps; the last layer takes the ninth."""
        net = self.trunk
        first = net.act1(net.bn1(net.conv1(images)))
        second = net.act2(net.bn2(net.conv2(first)))
        stage1 = net.layer1(second)
        stage2 = net.stage2([change(stage1) for change in net.transition1])
        stage3 = net.stage3(_add_branch(stage2, net.transition2))
        stage4 = net.stage4(_add_branch(stage3, net.transition3))
        return [first, second, stage1, *stage2, *stage3, stage4[0]], [stage4[0]]

    def predict(self, deep: list[Tensor]) -> Tensor:
        """(rows, joints, H / 4, W / 4)."""
        return self.output(deep[0])


def build(name: str, joints: int, weights: str) -> Tapped:
    """Build a network of ``MODELS`` with one heatmap per joint; raises DataError when the weights do not fit."""
    return MODELS[name](joints, weights)


def _add_branch(maps: list[Tensor], transition: nn.ModuleList) -> list[Tensor]:
    """A stage's branches plus a new one at half the resolution of the last."""
    return [
        maps[number] if isinstance(change, nn.Identity) else change(maps[-1])
        for number, change in enumerate(transition)
    ]


MODELS: dict[str, Callable[[int, str], Tapped]] = {
    "hrnet-w32": lambda joints, weights: HeatmapHrnet("hrnet_w32", joints, weights),
    "hrnet-w18-small": lambda joints, weights: HeatmapHrnet("hrnet_w18_small", joints, weights),
    "mobilenet-v2": MobileNetV2Pyramid,
}
"""Names on the command line → builders of (joints, weights)."""
