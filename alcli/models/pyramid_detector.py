"""RetinaNet and FCOS from torchvision's parts on the maps of any timm network, with a loss per image.

Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017; Tian et al., "FCOS", ICCV 2019. The heads have group
norms, and RetinaNet's boxes the GIoU loss, as in torchvision's ``retinanet_resnet50_fpn_v2`` (Zhang et al., "Bridging
the Gap Between Anchor-based and Anchor-free Detection", CVPR 2020): without norms a head learns slowly.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.detection import FCOS, RetinaNet
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.retinanet import RetinaNetHead
from torchvision.ops import FeaturePyramidNetwork
from torchvision.ops.feature_pyramid_network import LastLevelP6P7

from alcli.errors import UsageError
from alcli.models.ssd import Outputs
from alcli.models.timm_networks import image_statistics, timm_trunk

STRIDES = (8, 16, 32)
"""Of the trunk's maps; two more halvings follow. A finer map would give too many anchors (Lin et al., section 4)."""
WIDTH = 128
"""Channels of the pyramid; half of the paper's, which was made for GPUs."""
MULTIPLE = 32
"""Images are padded to a multiple of it, as in torchvision."""
GROUPS = 32
INPUT_SIZE = 320
SCORE, BOXES, CANDIDATES, OVERLAP = 0.01, 300, 1000, 0.5
"""Of the postprocessing; a low least score, since average precision counts boxes of every score."""


@dataclass(frozen=True)
class PyramidOutputs(Outputs):
    """Outputs of one forward pass; the first of the ``logits`` is the background's, always 0.

    So their softmax is the distribution over background and classes if the classes' independent sigmoids are known
    to name at most one class: P(class) ∝ p / (1 − p), P(background) ∝ 1. With one class it is the sigmoid itself.

    Attributes:
        features: maps of the pyramid at strides 8 to 128, and the trunk's last map.
        levels: number of anchors of each map of the pyramid.
        centerness: (batch, anchors, 1) logits; FCOS only.
    """

    levels: Sequence[int]
    centerness: Tensor | None = None

    def heads(self) -> dict[str, Tensor]:
        """The outputs under torchvision's names."""
        heads = {"cls_logits": self.logits[:, :, 1:], "bbox_regression": self.regression}
        return heads if self.centerness is None else {**heads, "bbox_ctrness": self.centerness}


class PyramidDetector(nn.Module):
    """A detector of torchvision on a timm network, in pieces: maps, outputs, losses, boxes.

    Attributes:
        net: the whole detector, as torchvision runs it.
    """

    def __init__(self, net: RetinaNet | FCOS) -> None:
        super().__init__()
        self.net = net

    @property
    def trunk(self) -> nn.Module:
        """timm's network; everything behind it is random at birth."""
        part: nn.Module = self.net.backbone.trunk
        return part

    def forward(self, images: Tensor) -> PyramidOutputs:
        """Normalized (batch, 3, H, W) → outputs."""
        features = self.maps(images)
        pyramid = features[:-1]
        heads = self.net.head(pyramid)
        one_image = ImageList(_pad(images[:1]), [(images.shape[2], images.shape[3])])
        anchors = self.net.anchor_generator(one_image, [feature[:1] for feature in pyramid])[0]
        per_cell = self.net.anchor_generator.num_anchors_per_location()[0]
        levels = [feature.shape[2] * feature.shape[3] * per_cell for feature in pyramid]
        centerness = heads["bbox_ctrness"].float() if "bbox_ctrness" in heads else None
        logits = _with_background(heads["cls_logits"])
        return PyramidOutputs(features, logits, heads["bbox_regression"].float(), anchors, levels, centerness)

    def maps(self, images: Tensor) -> list[Tensor]:
        """The pyramid's maps, and the trunk's last map."""
        stages = self.net.backbone.stages(_pad(images))
        return [*self.net.backbone.levels(stages), stages[-1]]

    def trunk_stages(self, images: Tensor) -> list[Tensor]:
        """The trunk's maps, the finest first."""
        stages: list[Tensor] = self.net.backbone.stages(_pad(images))
        return stages

    def class_logits(self, features: Sequence[Tensor]) -> Tensor:
        """(batch, anchors, 1 + classes) from the maps; those that MC dropout has thinned, say."""
        return _with_background(self.net.head.classification_head(list(features[:-1])))

    def losses(self, outputs: PyramidOutputs, targets: Sequence[dict[str, Tensor]]) -> Tensor:
        """torchvision's loss of each image on its own (batch,): classes, boxes and, for FCOS, centerness.

        Args:
            targets: per image ``boxes`` (k, 4) corners in input pixels and ``labels`` (k,) from 1.
        """
        return torch.stack([self._image_loss(outputs, image, target) for image, target in enumerate(targets)])

    def _image_loss(self, outputs: PyramidOutputs, image: int, target: dict[str, Tensor]) -> Tensor:
        heads = {name: part[image : image + 1] for name, part in outputs.heads().items()}
        wanted = [{"boxes": target["boxes"], "labels": target["labels"] - 1}]
        more = [list(outputs.levels)] if isinstance(self.net, FCOS) else []
        parts: dict[str, Tensor] = self.net.compute_loss(wanted, heads, [outputs.anchors], *more)
        return torch.stack(list(parts.values())).sum()

    def ranking(self, outputs: PyramidOutputs) -> Tensor:
        """By what boxes suppress each other (batch, anchors): the foreground, for FCOS times the centerness."""
        foreground = 1 - outputs.logits.softmax(dim=2)[:, :, 0]
        return foreground if outputs.centerness is None else foreground * outputs.centerness.sigmoid().squeeze(2)

    def decode(self, regression: Tensor, anchors: Tensor) -> Tensor:
        """Boxes (k, 4) in input pixels from offsets and anchors."""
        coder: Any = self.net.box_coder
        boxes: Tensor = coder.decode(regression, anchors) if isinstance(self.net, FCOS) else coder.decode_single(
            regression, anchors
        )  # fmt: skip
        return boxes

    def detections(self, outputs: PyramidOutputs, size: tuple[int, int]) -> list[dict[str, Tensor]]:
        """torchvision's postprocessing: per image ``boxes`` in input pixels, ``scores``, and ``labels`` from 1."""
        count = len(outputs.logits)
        heads = {name: list(part.split(list(outputs.levels), dim=1)) for name, part in outputs.heads().items()}
        anchors = [list(outputs.anchors.split(list(outputs.levels)))] * count
        answers = self.net.postprocess_detections(heads, anchors, [size] * count)
        return [{**answer, "labels": answer["labels"] + 1} for answer in answers]

    def transplant_classes(self, state: dict[str, Tensor], old: list[str], new: list[str]) -> dict[str, Tensor]:
        """A state dict for the new classes: known classes keep their weights, new ones the model's initial weights."""
        moved, fresh = dict(state), self.state_dict()
        for part in ("weight", "bias"):
            key = f"net.head.classification_head.cls_logits.{part}"
            weights = fresh[key].detach().cpu().clone().unflatten(0, (-1, len(new)))  # (anchors, classes, …)
            before = state[key].unflatten(0, (-1, len(old)))
            for index, name in enumerate(new):
                if name in old:
                    weights[:, index] = before[:, old.index(name)]
            moved[key] = weights.flatten(0, 1)
        return moved


class TimmPyramid(nn.Module):
    """A timm network's maps at strides 8, 16 and 32, and a feature pyramid on them with two more halvings."""

    out_channels = WIDTH

    def __init__(self, name: str, weights: str) -> None:
        super().__init__()
        self.trunk = _feature_network(name, weights)
        channels = [int(entry["num_chs"]) for entry in self.trunk.feature_info.get_dicts()]
        self.pyramid = FeaturePyramidNetwork(channels, WIDTH, LastLevelP6P7(WIDTH, WIDTH))
        self._last_axis = str(getattr(self.trunk, "output_fmt", "")).endswith("NHWC")

    def stages(self, images: Tensor) -> list[Tensor]:
        """[(batch, C_i, H_i, W_i)] at the three strides."""
        maps = self.trunk(images)
        return [part.permute(0, 3, 1, 2) for part in maps] if self._last_axis else list(maps)

    def levels(self, stages: Sequence[Tensor]) -> list[Tensor]:
        """The pyramid's five maps."""
        return list(self.pyramid(OrderedDict((str(number), stage) for number, stage in enumerate(stages))).values())

    def forward(self, images: Tensor) -> OrderedDict[str, Tensor]:
        """As torchvision calls it: (batch, 3, H, W) → five maps by name."""
        return OrderedDict((str(number), level) for number, level in enumerate(self.levels(self.stages(images))))


def build(name: str, classes: int, weights: str, input_size: int | None) -> PyramidDetector:
    """Build ``retinanet-NAME`` or ``fcos-NAME``, NAME being timm's, for ``classes`` classes without background.

    Raises:
        UsageError: timm knows no such network, or it has no maps at strides 8, 16 and 32.
        DataError: the weights do not fit.
    """
    kind, _, trunk_name = name.partition("-")
    side = input_size or INPUT_SIZE
    pyramid = TimmPyramid(trunk_name, weights)
    mean, std = image_statistics(trunk_name)
    options = {
        "min_size": side, "max_size": side, "image_mean": mean, "image_std": std,
        "nms_thresh": OVERLAP, "detections_per_img": BOXES, "topk_candidates": CANDIDATES,
    }  # fmt: skip
    return PyramidDetector(KINDS[kind](pyramid, classes, options))


def is_known(name: str) -> bool:
    """Whether this is the name of a RetinaNet or an FCOS; whether timm has the network shows when it is built."""
    kind, dash, trunk_name = name.partition("-")
    return kind in KINDS and bool(dash and trunk_name)


def _retinanet(pyramid: TimmPyramid, classes: int, options: dict[str, Any]) -> RetinaNet:
    # Three sizes an octave and three shapes, as in the paper.
    sizes = tuple(tuple(int(size * 2 ** (third / 3)) for third in range(3)) for size in (32, 64, 128, 256, 512))
    anchors = AnchorGenerator(sizes, ((0.5, 1.0, 2.0),) * len(sizes))
    norm = partial(nn.GroupNorm, GROUPS)
    head = RetinaNetHead(WIDTH, anchors.num_anchors_per_location()[0], classes, norm_layer=norm)
    head.regression_head._loss_type = "giou"
    return RetinaNet(pyramid, classes, anchor_generator=anchors, head=head, score_thresh=SCORE, **options)


def _fcos(pyramid: TimmPyramid, classes: int, options: dict[str, Any]) -> FCOS:
    # Its score is the root of class times centerness, so the root of the least score is comparable.
    return FCOS(pyramid, classes, score_thresh=SCORE**0.5, **options)


KINDS = {"retinanet": _retinanet, "fcos": _fcos}
EXAMPLES = ("retinanet-resnet18", "retinanet-mobilenetv3_small_100", "fcos-resnet18", "fcos-mobilenetv3_small_100")
"""Names to list; every timm network with maps at strides 8, 16 and 32 works too."""


def _feature_network(name: str, weights: str) -> Any:
    """timm's network without its head, with the maps at the three strides."""
    whole = timm_trunk(name, weights)  # checked as a whole: a network of maps would ignore names that differ
    try:
        net: Any = timm.create_model(name, features_only=True)
    except (RuntimeError, AttributeError, AssertionError) as error:
        raise UsageError(f"timm's {name} has no maps for a detector: {error}.", do=CHOOSE) from None
    strides = net.feature_info.reduction()
    if missing := [stride for stride in STRIDES if stride not in strides]:
        raise UsageError(
            f"timm's {name} has no maps at strides {', '.join(map(str, missing))}, only at "
            f"{', '.join(map(str, sorted(set(strides))))}.",
            do=CHOOSE,
        )
    last = [len(strides) - 1 - strides[::-1].index(stride) for stride in STRIDES]
    cfg = {"state_dict": whole.state_dict(), "custom_load": False}
    return timm.create_model(name, pretrained=True, features_only=True, out_indices=last, pretrained_cfg_overlay=cfg)


CHOOSE = "Choose a network with stages, such as resnet18 or mobilenetv3_small_100."


def _with_background(logits: Tensor) -> Tensor:
    return F.pad(logits.float(), (1, 0))


def _pad(images: Tensor) -> Tensor:
    """Zeros to the right and below, up to a multiple of 32."""
    height, width = images.shape[-2:]
    return F.pad(images, (0, -width % MULTIPLE, 0, -height % MULTIPLE))
