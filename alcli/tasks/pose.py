"""Human pose estimation: one heatmap per joint of each person."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from alcli import images
from alcli.annotations import Annotation, Keypoint
from alcli.annotations import Pose as Person
from alcli.config import ModelOptions, TaskOptions
from alcli.errors import DataError, UsageError
from alcli.items import ImageFacts, Item
from alcli.models import hrnet, uncertainty
from alcli.models.cells import CellMaps
from alcli.models.pretrained import LIGHT
from alcli.models.tapped import Tapped
from alcli.predictions import ImagePrediction, measures
from alcli.system.text import did_you_mean
from alcli.tasks import Batch, Example, _crops, _skeleton
from alcli.tasks._checks import OVERHANG, clip_box, require_parts, upright
from alcli.tasks._crops import Region
from alcli.tasks._pose_metrics import oks_ap, pck
from alcli.tasks._pose_options import PoseOptions
from alcli.tasks._tapped import TappedTask, mean_by_image

MOST_PEAKS, PEAK_DISTANCE = 5, 5
ENERGY = math.pi * _crops.SIGMA**2
"""Sum of a squared Gaussian target: a joint that is missed entirely costs 1."""


class Pose(TappedTask):
    """Estimate poses with HRNet heatmaps (Sun et al., CVPR 2019); ``classes`` are the names of the joints.

    Joints come from the annotations (a COCO category's ``keypoints``) or from ``task.classes``; mirror pairs and OKS
    sigmas from their names or from ``task.flip_pairs`` and ``task.sigmas``. People are cropped by their boxes; an
    image without a box is one crop. Batch rows are people; losses and signals are one number per image.

    Uncertainty of one joint: of the softmax over the heights of its heatmap's up to five peaks, at least five pixels
    apart (multi-peak entropy; Liu & Ferrari, ICCV 2017), aggregated over all joints of an image by ``task.aggregate``.
    ``mutual_information`` and ``output_discrepancy`` use the whole heatmap as a distribution over positions.
    ``class_scores`` are peak heights averaged over people; ``expected_objects`` sums them over joints and people.
    """

    light_model = LIGHT["pose"]
    models = tuple(hrnet.MODELS)
    # Heatmap errors have small gradients at first. On LSP, λ = 1 cost 9 points of PCK, λ = 0.025 cost 1.2 and
    # λ = 0.005 less than 1, with equally good loss ranking.
    loss_weight = 0.005
    unit = "joints"
    cuts_by_annotation = True
    Options = PoseOptions
    _options: PoseOptions

    def __init__(self, options: PoseOptions, model: ModelOptions, classes: Sequence[str]) -> None:
        """Args: ``classes``: joints in the order of the heatmaps; raises UsageError for an unknown model or joint."""
        super().__init__(options, model, classes)
        self.model_name = model.name or self.light_model
        if self.model_name not in hrnet.MODELS:
            raise UsageError(f"Pose has no model {self.model_name!r}.", do=did_you_mean(self.model_name, hrnet.MODELS))
        # HRNet halves the resolution five times and adds the branches, so both sides must be multiples of 32.
        step = 128 if self.model_name.startswith("hrnet") else 32
        height = max((model.input_size or 256) // step, 1) * step
        self.input_shape = (height, height * 3 // 4)
        self._mirror = _skeleton.flip_order(self.classes, options.flip_pairs)
        self._sigmas = _skeleton.sigmas(self.classes, options.sigmas)

    @staticmethod
    def vocabulary(annotation: Annotation, options: TaskOptions) -> set[str]:
        """The annotation's joints."""
        return {joint.name for pose in annotation.poses for joint in pose.keypoints}

    def build_model(self) -> Tapped:
        """Build the heatmap network; raises DataError when the weights do not fit."""
        return hrnet.build(self.model_name, len(self.classes), self._model.weights)

    def frozen_head(self, shapes: Sequence[tuple[int, int, int]]) -> Tapped:
        """Heatmaps on the grid of the finest of the memorized trunk maps (channels, height, width)."""
        return CellMaps(shapes, 0, len(self.classes))

    def encode(self, item: Item, path: Path, facts: ImageFacts, annotation: Annotation) -> Example:
        """Build an example; in an image without people all target heatmaps are empty.

        Raises:
            DataError: a person with a box but no joint; an unknown joint; a joint or box far outside; another size.
        """
        require_parts(annotation, "poses", "boxes")
        annotation = upright(annotation, facts)
        posed = [pose.box for pose in annotation.poses]
        for box in annotation.boxes:
            if box not in posed:
                corners = f"({box.x1:g}, {box.y1:g}, {box.x2:g}, {box.y2:g})"
                raise DataError(f"boxes and keypoints are mixed: box {corners} of class {box.label!r} has no joints")
        poses = tuple(self._check_pose(pose, facts) for pose in annotation.poses)
        size = (facts.width, facts.height)
        return Example(item, path, Annotation(item.id, (), size, poses=poses), size)

    def load(self, example: Example, augment: str) -> tuple[Tensor, dict[str, Tensor], tuple[int, int]]:
        """Load crops (people, 3, H, W), ``joints`` (people, joints, 2) in crop pixels, ``weights`` (people, joints).

        Args:
            augment: none; mirror; rotate (mirrors, rotates and scales); anything else mirrors half of the time.
        """
        if example.annotation is None:
            picture = images.load(example.path, at_least=self.input_shape[::-1])
            size = example.size or picture.size
            whole = self._regions(example, size)[0]
            return _crops.to_tensor([_crops.cut(picture, picture.width / size[0], whole, self.input_shape)]), {}, size
        picture = images.load(example.path)
        size = picture.size
        regions = self._regions(example, size)
        poses: Sequence[Person | None] = example.annotation.poses or [None] * len(regions)
        people = [self._person(picture, region, pose, augment) for region, pose in zip(regions, poses, strict=True)]
        crops, joints, weights = zip(*people, strict=True)
        return _crops.to_tensor(crops), {"joints": torch.stack(joints), "weights": torch.stack(weights)}, size

    def losses(self, model: Tapped, batch: Batch) -> tuple[Tensor, list[Tensor]]:
        """Heatmap loss (batch,) and feature maps, both averaged over an image's people.

        A person's loss: mean over annotated joints of the heatmap's squared error, divided by the energy of a target,
        so that an empty heatmap costs about 1. It is ``F.mse_loss`` up to that constant.
        """
        features, deep = model.maps(self.normalize(model, batch))
        heatmaps = model.predict(deep).float()  # (people, joints, h, w)
        joints = torch.cat([target["joints"] for target in batch.targets]).to(heatmaps.device)
        weights = torch.cat([target["weights"] for target in batch.targets]).to(heatmaps.device)
        targets = _crops.gaussians(joints, (heatmaps.shape[2], heatmaps.shape[3]))
        errors = F.mse_loss(heatmaps, targets, reduction="none").sum(dim=(2, 3)) / ENERGY  # (people, joints)
        people = (errors * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1)
        return mean_by_image(people, batch), [mean_by_image(feature, batch) for feature in features]

    def distributions(self, outputs: Tensor) -> Tensor:
        """Softmax over the heights of each heatmap's peaks: (people, joints, peaks)."""
        local_maxima = F.max_pool2d(outputs, 2 * PEAK_DISTANCE - 1, stride=1, padding=PEAK_DISTANCE - 1)
        heights = outputs.masked_fill(outputs < local_maxima, -torch.inf).flatten(2).topk(MOST_PEAKS, dim=2).values
        return heights.softmax(dim=2)

    def comparable(self, outputs: Tensor) -> Tensor:
        """The heatmap's positive part, normalized to sum 1: (people, joints, positions)."""
        positive = outputs.flatten(2).clamp(min=1e-6)
        return positive / positive.sum(dim=2, keepdim=True)

    def class_uncertainty(self, outputs: Tensor) -> Tensor:
        """Entropy over each joint's peaks: (people, joints) in nats."""
        return uncertainty.entropy(self.distributions(outputs))

    def evidence(self, outputs: Tensor) -> Tensor:
        """Height of each heatmap's highest peak, clipped to [0, 1]: (people, joints)."""
        return outputs.flatten(2).amax(dim=2).clamp(0, 1)

    def predictions(self, model: Tapped, batch: Batch) -> list[Annotation]:
        """One pose for each annotated person, or for the whole image; scores are peak heights."""
        points, heights = _crops.peaks(model(self.normalize(model, batch)).float())  # (people, joints, 2), …
        people = iter(zip(points.cpu().tolist(), heights.clamp(0, 1).cpu().tolist(), strict=True))
        return [
            self._prediction(example, size, [(region, *next(people)) for region in self._regions(example, size)])
            for example, size in zip(batch.examples, batch.sizes, strict=True)
        ]

    def given_signals(self, prediction: ImagePrediction) -> dict[str, np.ndarray]:
        """The signals of joints that another model gave."""
        return measures.of_joints(prediction, self.classes, self._options)

    def evaluate(self, examples: Sequence[Example], predictions: Iterable[Annotation]) -> dict[str, float]:
        """``oks_ap`` from pycocotools, with people cropped by their annotated boxes, and ``pck`` at 0.2.

        Raises:
            DataError: no example has a person.
        """
        predicted = {prediction.item_id: prediction for prediction in predictions}
        pairs = [
            (example.annotation, predicted[example.item.id])
            for example in examples
            if example.annotation and example.annotation.poses
        ]
        if not pairs:
            raise DataError("No held-out image has a person.", do="Annotate more, or set train.validation higher.")
        return {"oks_ap": oks_ap(pairs, self.classes, self._sigmas), **pck(pairs, self.classes)}

    def _check_pose(self, pose: Person, facts: ImageFacts) -> Person:
        """The pose with its box clipped; raises DataError for an unknown joint or one far outside the image."""
        for joint in pose.keypoints:
            if joint.name not in self.classes:
                raise DataError(f"joint {joint.name!r} is not one of {', '.join(self.classes)}")
            over = max(-joint.x, -joint.y, joint.x - facts.width, joint.y - facts.height)
            if over > OVERHANG:
                raise DataError(f"joint {joint.name!r} lies {over:g} pixels outside {facts.width}×{facts.height}")
        return replace(pose, box=clip_box(pose.box, facts)) if pose.box else pose

    def _regions(self, example: Example, size: tuple[int, int]) -> list[Region]:
        return _crops.regions(example.annotation, size, self.input_shape)

    def _person(
        self, picture: Image.Image, region: Region, pose: Person | None, augment: str
    ) -> tuple[Image.Image, Tensor, Tensor]:
        """Crop, joints and weights of one person; without a pose, targets far outside, so that heatmaps are empty."""
        if augment == "rotate":
            region = region.scale(1 + _crops.SCALING * _random())
        crop = _crops.cut(picture, 1.0, region, self.input_shape)
        if pose is None:
            far = torch.full((len(self.classes), 2), -1e4)
            return crop, far, torch.ones(len(self.classes))
        points, weights = _crops.joints_in(region, pose, self.classes, self.input_shape)
        if augment == "rotate":
            crop, points = _crops.rotate(crop, points, _crops.ROTATION * _random())
        if augment == "mirror" or (augment != "none" and _random() > 0):
            crop, points, weights = _crops.mirror(crop, points, weights, self._mirror)
        # Joints that the augmentation moved outside the crop do not train.
        inside = ((points >= 0) & (points <= torch.tensor(self.input_shape[::-1]))).all(dim=1)
        return crop, points, weights * inside

    def _prediction(
        self, example: Example, size: tuple[int, int], people: Sequence[tuple[Region, list, list]]
    ) -> Annotation:
        given = example.annotation.poses if example.annotation else ()
        poses = []
        for number, (region, points, heights) in enumerate(people):
            box = given[number].box if given else None
            joints = tuple(
                Keypoint(
                    name,
                    region.x + x * region.width / self.input_shape[1],
                    region.y + y * region.height / self.input_shape[0],
                    score=height,
                )
                for name, (x, y), height in zip(self.classes, points, heights, strict=True)
            )
            poses.append(Person(given[number].label if given else self._options.subject, joints, box))
        return Annotation(example.item.id, (), size, poses=tuple(poses))


def _random() -> float:
    """Uniform in [−1, 1) from torch's global generator, which the loader seeds for each image."""
    return float(torch.rand(())) * 2 - 1
