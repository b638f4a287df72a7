"""Image classification, with one or several labels per image."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.metrics import accuracy_score, average_precision_score, confusion_matrix, recall_score
from torch import Tensor
from torchvision.transforms import v2

from alcli import images
from alcli.annotations import Annotation
from alcli.config import ModelOptions, TaskOptions
from alcli.errors import DataError, UsageError
from alcli.items import ImageFacts, Item
from alcli.models import classifiers, pixels, uncertainty
from alcli.models.pretrained import LIGHT
from alcli.models.tapped import Tapped
from alcli.predictions import ImagePrediction, measures
from alcli.tasks import Batch, Example
from alcli.tasks._checks import check_class, require_parts, upright
from alcli.tasks._classification_options import ClassificationOptions
from alcli.tasks._tapped import TappedTask


class Classification(TappedTask):
    """Classify images with any classifier of torchvision or timm.

    The features for the loss head are the stages' outputs. Uncertainty: of the distribution over classes; with
    ``task.multi_label`` of each label's presence, aggregated over labels by ``task.aggregate``. ``class_scores`` are
    the probabilities, ``expected_objects`` their sum: 1, or the expected number of labels.
    """

    light_model = LIGHT["classification"]
    models = classifiers.MODELS
    unit = "labels"
    Options = ClassificationOptions
    _options: ClassificationOptions

    def __init__(self, options: ClassificationOptions, model: ModelOptions, classes: Sequence[str]) -> None:
        """Args: ``classes``: names in the order of the model's outputs."""
        super().__init__(options, model, classes)
        self.model_name = model.name or self.light_model
        side = model.input_size or 224
        self.input_shape = (side, side)

    @property
    def several_labels(self) -> bool:
        """Whether an image may have several labels."""
        return self._options.multi_label

    @staticmethod
    def check_frozen(options: ClassificationOptions) -> None:
        """Raises UsageError if an image may have several labels."""
        if options.multi_label:
            raise UsageError(
                "With --frozen an image has one label; this workspace has task.multi_label.", do="Leave --frozen out."
            )

    @staticmethod
    def vocabulary(annotation: Annotation, options: TaskOptions) -> set[str]:
        """The annotation's labels."""
        return set(annotation.labels)

    def build_model(self) -> Tapped:
        """Build the classifier; raises UsageError for an unknown name, DataError for weights that do not fit."""
        return classifiers.build(self.model_name, len(self.classes), self._model.weights, self.input_shape[0])

    def encode(self, item: Item, path: Path, facts: ImageFacts, annotation: Annotation) -> Example:
        """Build an example from its labels.

        Raises:
            DataError: no label, or several although ``task.multi_label`` is off; an unknown class; another image size.
        """
        require_parts(annotation, "labels")
        labels = tuple(sorted(set(upright(annotation, facts).labels)))
        for label in labels:
            check_class(label, self.classes)
        if not self._options.multi_label:
            if not labels:
                raise DataError("the annotation has no label")
            if len(labels) > 1:
                raise DataError(
                    f"labeled differently: {', '.join(labels)}; with task.multi_label = true an image may have several"
                )
        size = (facts.width, facts.height)
        return Example(item, path, Annotation(item.id, (), size, labels), size)

    def load(self, example: Example, augment: str) -> tuple[Tensor, dict[str, Tensor], tuple[int, int]]:
        """Load the image at the model's input size, and ``label``, or ``labels`` as (classes,) of 0 and 1.

        Args:
            augment: none; crop (random part and shape, then flip); anything else flips.
        """
        side = self.input_shape[0]
        picture = images.load(example.path, at_least=(side, side))
        size = example.size or picture.size
        if augment == "crop":
            tensor = v2.RandomResizedCrop((side, side), scale=(0.35, 1.0), antialias=True)(pixels.to_tensor(picture))
        else:
            tensor = pixels.to_tensor(picture, (side, side))
        if augment != "none":
            tensor = v2.RandomHorizontalFlip()(tensor)
        return tensor, self._target(example), size

    def losses(self, model: Tapped, batch: Batch) -> tuple[Tensor, list[Tensor]]:
        """Cross-entropy (batch,), with several labels the mean binary one over classes; and the stages' maps."""
        features, deep = model.maps(self.normalize(model, batch))
        logits = model.predict(deep).float()
        if self._options.multi_label:
            wanted = torch.stack([target["labels"] for target in batch.targets]).to(logits.device)
            return F.binary_cross_entropy_with_logits(logits, wanted, reduction="none").mean(dim=1), features
        label = torch.stack([target["label"] for target in batch.targets]).to(logits.device)
        return F.cross_entropy(logits, label, reduction="none"), features

    def distributions(self, outputs: Tensor) -> Tensor:
        """(rows, 1, classes), or with several labels (rows, classes, 2): presence and absence of each."""
        if self._options.multi_label:
            presence = outputs.sigmoid()  # (rows, classes)
            return torch.stack([presence, 1 - presence], dim=2)
        return outputs.softmax(dim=1).unsqueeze(1)

    def class_uncertainty(self, outputs: Tensor) -> Tensor:
        """(rows, classes) in nats; with several labels the entropy of presence and absence."""
        if self._options.multi_label:
            return uncertainty.entropy(self.distributions(outputs))
        return super().class_uncertainty(outputs)

    def evidence(self, outputs: Tensor) -> Tensor:
        """Probabilities (rows, classes)."""
        return outputs.sigmoid() if self._options.multi_label else outputs.softmax(dim=1)

    def predictions(self, model: Tapped, batch: Batch) -> list[Annotation]:
        """The most probable class; with several labels every class, most probable first. Scores are probabilities."""
        scores = self.evidence(model(self.normalize(model, batch)).float()).cpu()  # (images, classes)
        count = len(self.classes) if self._options.multi_label else 1
        best = scores.topk(count, dim=1)
        images = zip(batch.examples, best.indices.tolist(), best.values.tolist(), batch.sizes, strict=True)
        return [
            Annotation(
                example.item.id, (), size, tuple(self.classes[index] for index in indices), label_scores=tuple(values)
            )
            for example, indices, values, size in images
        ]

    def given_signals(self, prediction: ImagePrediction) -> dict[str, np.ndarray]:
        """The signals of probabilities that another model gave."""
        return measures.of_labels(prediction, self.classes, self._options, self._options.multi_label)

    def evaluate(self, examples: Sequence[Example], predictions: Iterable[Annotation]) -> dict[str, float]:
        """``top1`` and ``macro_accuracy`` (mean recall over classes), or ``map`` with several labels; scikit-learn's.

        ``recall/CLASS`` is the share of a class's images that got its name; ``ap/CLASS`` with several labels.

        Raises:
            DataError: with several labels, no example has one; otherwise, there is one class only.
        """
        predicted = {prediction.item_id: prediction for prediction in predictions}
        pairs = [(example.annotation, predicted[example.item.id]) for example in examples if example.annotation]
        if self._options.multi_label:
            return self._average_precisions(pairs)
        if len(self.classes) == 1:
            raise DataError(f"There is one class only ({self.classes[0]}): accuracy says nothing.")
        true = [annotation.labels[0] for annotation, _ in pairs]
        guessed = [prediction.labels[0] for _, prediction in pairs]
        present = sorted(set(true))
        recalls = recall_score(true, guessed, labels=present, average=None, zero_division=0)
        metrics = {"top1": float(accuracy_score(true, guessed)), "macro_accuracy": float(recalls.mean())}
        return metrics | {f"recall/{name}": float(recall) for name, recall in zip(present, recalls, strict=True)}

    def confusion(self, examples: Sequence[Example], predictions: Iterable[Annotation]) -> list[tuple[int, int, int]]:
        """How often each class got each name: (true class, predicted class, images), without zeros; scikit-learn's.

        Empty with several labels.
        """
        if self._options.multi_label:
            return []
        predicted = {prediction.item_id: prediction.labels[0] for prediction in predictions}
        true = {example.item.id: example.annotation.labels[0] for example in examples if example.annotation}
        pairs = [(name, predicted[item_id]) for item_id, name in true.items()]
        table = confusion_matrix(*zip(*pairs, strict=True), labels=self.classes) if pairs else np.zeros((0, 0))
        return [(int(row), int(column), int(table[row, column])) for row, column in np.argwhere(table)]

    def _target(self, example: Example) -> dict[str, Tensor]:
        if example.annotation is None:
            return {}
        indices = [self.classes.index(label) for label in example.annotation.labels]
        if not self._options.multi_label:
            return {"label": torch.tensor(indices[0])}
        labels = torch.zeros(len(self.classes))
        labels[indices] = 1
        return {"labels": labels}

    def _average_precisions(self, pairs: Sequence[tuple[Annotation, Annotation]]) -> dict[str, float]:
        true = np.array([[label in truth.labels for label in self.classes] for truth, _ in pairs], dtype=int)
        if not true.any():
            raise DataError("No held-out image has a label.", do="Annotate more, or set train.validation higher.")
        scored = [dict(zip(guess.labels, guess.label_scores, strict=True)) for _, guess in pairs]
        scores = np.array([[score_of[label] for label in self.classes] for score_of in scored])  # (images, classes)
        present = np.flatnonzero(true.any(axis=0)).tolist()
        values = [float(average_precision_score(true[:, index], scores[:, index])) for index in present]
        names = [f"ap/{self.classes[index]}" for index in present]
        return {"map": float(np.mean(values)), **dict(zip(names, values, strict=True))}
