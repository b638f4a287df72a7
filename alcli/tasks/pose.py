"""Human pose estimation: one heatmap a joint for each person."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image
from pydantic import Field
from torch import Tensor

from alcli import images
from alcli.annotations import Annotation, Keypoint
from alcli.annotations import Pose as Person
from alcli.config import ModelOptions, TaskOptions
from alcli.errors import DataError, UsageError
from alcli.items import ImageFacts, Item
from alcli.models import hrnet
from alcli.models.tapped import Tapped
from alcli.system.text import did_you_mean
from alcli.tasks import Batch, Example, _crops, _skeleton
from alcli.tasks._checks import OVERHANG, clipped, speaks_of, upright
from alcli.tasks._crops import Region
from alcli.tasks._pose_metrics import oks_ap, pck
from alcli.tasks._tapped import TappedTask, mean_by_image

MOST_PEAKS, PEAK_DISTANCE = 5, 5
ENERGY = math.pi * _crops.SIGMA**2
"""Sum of a squared Gaussian target: a joint that is not found at all costs 1."""


class Pose(TappedTask):
    """Place joints with HRNet heatmaps (Sun et al., CVPR 2019); its outputs, ``classes``, are the joints by name.

    Joints come from the annotations (a COCO category's ``keypoints``) or from ``task.classes``; mirror pairs and OKS
    sigmas follow from their names or from ``task.flip_pairs`` and ``task.sigmas``. People are cut out by their boxes;
    an image without a box is one crop. Batch rows are people, losses and signals are one number an image.

    Uncertainty of one joint: of the softmax over the heights of its heatmap's up to five peaks, at least five pixels
    apart (multi-peak entropy; Liu & Ferrari, ICCV 2017); the joints of all people of an image become one number by
    ``task.aggregate``. ``mutual_information`` and ``output_discrepancy`` are about the whole heatmap as a distribution
    over positions. ``class_scores`` are peak heights, mean over people; ``expected_objects`` is their sum: joints.
    """

    light_model = "mobilenet-v2"
    models = tuple(hrnet.MODELS)
    # Heatmap errors pull little at first. On LSP, λ = 1 took 9 points of PCK, 0.025 took 1.2, 0.005 took less than 1,
    # and predicted losses ranked the true ones equally well.
    loss_weight = 0.005
    unit = "joints"
    _options: Options

    class Options(TaskOptions):
        """What only poses can be told."""

        subject: str = Field("person", description="the class of what has the joints")
        flip_pairs: tuple[tuple[str, str], ...] = Field(
            (), description="joints that change places in a mirror; empty: left… and right… by name"
        )
        sigmas: dict[str, float] = Field({}, description="OKS sigmas by joint; default: COCO's and CrowdPose's")

        def before_any_class(self) -> Pose.Options:
            """Without what names a joint."""
            return self.model_copy(update={"flip_pairs": (), "sigmas": {}})

    def __init__(self, options: Options, model: ModelOptions, classes: Sequence[str]) -> None:
        """Args: ``classes``: joints in the order of the heatmaps; raises UsageError for an unknown model or joint."""
        super().__init__(options, model, classes)
        self.model_name = model.name or self.light_model
        if self.model_name not in hrnet.MODELS:
            raise UsageError(f"Pose has no model {self.model_name!r}.", do=did_you_mean(self.model_name, hrnet.MODELS))
        # HRNet halves five times and adds the branches up again: both sides have to be multiples of 32.
        step = 128 if self.model_name.startswith("hrnet") else 32
        height = max((model.input_size or 256) // step, 1) * step
        self.input_shape = (height, height * 3 // 4)
        self._mirror = _skeleton.flip_order(self.classes, options.flip_pairs)
        self._sigmas = _skeleton.sigmas(self.classes, options.sigmas)

    @staticmethod
    def vocabulary(annotation: Annotation, options: TaskOptions) -> set[str]:
        """The joints."""
        return {joint.name for pose in annotation.poses for joint in pose.keypoints}

    def build_model(self) -> Tapped:
        """The heatmap network; raises DataError when the weights do not fit."""
        return hrnet.build(self.model_name, len(self.classes), self._model.weights)

    def encode(self, item: Item, path: Path, facts: ImageFacts, annotation: Annotation) -> Example:
        """The example; an image without people is one in which every heatmap has to stay empty.

        Raises:
            DataError: a person with a box but no joint; an unknown joint; a joint or box far outside; another size.
        """
        speaks_of(annotation, "poses", "boxes")
        annotation = upright(annotation, facts)
        posed = [pose.box for pose in annotation.poses]
        for box in annotation.boxes:
            if box not in posed:
                shown = f"({box.x1:g}, {box.y1:g}, {box.x2:g}, {box.y2:g})"
                raise DataError(f"boxes and keypoints are mixed: box {shown} of class {box.label!r} has no joints")
        poses = tuple(self._checked(pose, facts) for pose in annotation.poses)
        size = (facts.width, facts.height)
        return Example(item, path, Annotation(item.id, (), size, poses=poses), size)

    def load(self, example: Example, augment: str) -> tuple[Tensor, dict[str, Tensor], tuple[int, int]]:
        """(people, 3, H, W); ``joints`` (people, joints, 2) in pixels of the crop, ``weights`` (people, joints).

        Args:
            augment: none; rotate (mirror, turn and size); anything else mirrors.
        """
        if example.annotation is None:
            picture = images.load(example.path, at_least=self.input_shape[::-1])
            size = example.size or picture.size
            whole = self._regions(example, size)[0]
            return _crops.to_tensor([_crops.cut(picture, picture.width / size[0], whole, self.input_shape)]), {}, size
        picture = images.load(example.path)
        size = picture.size
        found = self._regions(example, size)
        poses: Sequence[Person | None] = example.annotation.poses or [None] * len(found)
        people = [self._person(picture, region, pose, augment) for region, pose in zip(found, poses, strict=True)]
        crops, joints, weights = zip(*people, strict=True)
        return _crops.to_tensor(crops), {"joints": torch.stack(joints), "weights": torch.stack(weights)}, size

    def losses(self, model: Tapped, batch: Batch) -> tuple[Tensor, list[Tensor]]:
        """(batch,) mean over an image's people of each one's heatmap loss; and the mean of their maps.

        A person's loss: mean over its marked joints of the squared error of the heatmap, divided by the energy of a
        target, so that an empty heatmap costs about 1. It is ``F.mse_loss`` up to that constant.
        """
        features, deep = model.maps(self.normalised(model, batch))
        heatmaps = model.predict(deep).float()
        joints = torch.cat([target["joints"] for target in batch.targets]).to(heatmaps.device)
        weights = torch.cat([target["weights"] for target in batch.targets]).to(heatmaps.device)
        targets = _crops.gaussians(joints, (heatmaps.shape[2], heatmaps.shape[3]))
        errors = F.mse_loss(heatmaps, targets, reduction="none").sum(dim=(2, 3)) / ENERGY
        people = (errors * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1)
        return mean_by_image(people, batch), [mean_by_image(feature, batch) for feature in features]

    def distributions(self, outputs: Tensor) -> Tensor:
        """(people, joints, peaks): softmax over the heights of each heatmap's peaks."""
        around = F.max_pool2d(outputs, 2 * PEAK_DISTANCE - 1, stride=1, padding=PEAK_DISTANCE - 1)
        heights = outputs.masked_fill(outputs < around, -torch.inf).flatten(2).topk(MOST_PEAKS, dim=2).values
        return heights.softmax(dim=2)

    def comparable(self, outputs: Tensor) -> Tensor:
        """(people, joints, positions): the heatmap's positive part with sum 1."""
        positive = outputs.flatten(2).clamp(min=1e-6)
        return positive / positive.sum(dim=2, keepdim=True)

    def evidence(self, outputs: Tensor) -> Tensor:
        """(people, joints) heights of the highest peaks, cut to [0, 1]."""
        return outputs.flatten(2).amax(dim=2).clamp(0, 1)

    def predictions(self, model: Tapped, batch: Batch) -> list[Annotation]:
        """One pose for each given box, or for the whole image; scores are peak heights."""
        places, heights = _crops.peaks(model(self.normalised(model, batch)).float())
        rows = iter(zip(places.cpu().tolist(), heights.clamp(0, 1).cpu().tolist(), strict=True))
        return [
            self._predicted(example, size, [(region, *next(rows)) for region in self._regions(example, size)])
            for example, size in zip(batch.examples, batch.sizes, strict=True)
        ]

    def evaluate(self, examples: Sequence[Example], predictions: Iterable[Annotation]) -> dict[str, float]:
        """``oks_ap`` by pycocotools over people cut out by their given boxes, and ``pck`` at 0.2.

        Raises:
            DataError: no example has a person.
        """
        found = {prediction.item_id: prediction for prediction in predictions}
        pairs = [
            (example.annotation, found[example.item.id])
            for example in examples
            if example.annotation and example.annotation.poses
        ]
        if not pairs:
            raise DataError("No held-out image has a person.", do="Annotate more, or set train.validation higher.")
        correct = pck(pairs, self.classes)
        metrics = {"oks_ap": oks_ap(pairs, self.classes, self._sigmas)}
        return metrics if correct is None else {**metrics, "pck": correct}

    def _checked(self, pose: Person, facts: ImageFacts) -> Person:
        for joint in pose.keypoints:
            if joint.name not in self.classes:
                raise DataError(f"joint {joint.name!r} is not one of {', '.join(self.classes)}")
            over = max(-joint.x, -joint.y, joint.x - facts.width, joint.y - facts.height)
            if over > OVERHANG:
                raise DataError(f"joint {joint.name!r} lies {over:g} pixels outside {facts.width}×{facts.height}")
        return replace(pose, box=clipped(pose.box, facts)) if pose.box else pose

    def _regions(self, example: Example, size: tuple[int, int]) -> list[Region]:
        return _crops.regions(example.annotation, size, self.input_shape)

    def _person(
        self, picture: Image.Image, region: Region, pose: Person | None, augment: str
    ) -> tuple[Image.Image, Tensor, Tensor]:
        """Crop, joints and weights of one person; of nobody, an image in which no joint may be found."""
        if augment == "rotate":
            region = region.scaled(1 + _crops.SCALING * _random())
        crop = _crops.cut(picture, 1.0, region, self.input_shape)
        if pose is None:
            far = torch.full((len(self.classes), 2), -1e4)
            return crop, far, torch.ones(len(self.classes))
        places, weights = _crops.joints_in(region, pose, self.classes, self.input_shape)
        if augment == "rotate":
            crop, places = _crops.turned(crop, places, _crops.ROTATION * _random())
        if augment != "none" and _random() > 0:
            crop, places, weights = _crops.mirrored(crop, places, weights, self._mirror)
        # What the augmentation pushed out of the crop cannot be found in it.
        inside = ((places >= 0) & (places <= torch.tensor(self.input_shape[::-1]))).all(dim=1)
        return crop, places, weights * inside

    def _predicted(
        self, example: Example, size: tuple[int, int], people: Sequence[tuple[Region, list, list]]
    ) -> Annotation:
        given = example.annotation.poses if example.annotation else ()
        poses = []
        for number, (region, places, heights) in enumerate(people):
            box = given[number].box if given else None
            joints = tuple(
                Keypoint(
                    name,
                    region.x + x * region.width / self.input_shape[1],
                    region.y + y * region.height / self.input_shape[0],
                    score=height,
                )
                for name, (x, y), height in zip(self.classes, places, heights, strict=True)
            )
            poses.append(Person(given[number].label if given else self._options.subject, joints, box))
        return Annotation(example.item.id, (), size, poses=tuple(poses))


def _random() -> float:
    """Uniform in [−1, 1) from torch's global generator, which loading seeds for each image."""
    return float(torch.rand(())) * 2 - 1
