"""Tasks: network, per-item loss, signals and metric. One file = one task."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from alcli.annotations import Annotation
from alcli.config import TaskOptions
from alcli.items import ImageFacts, Item

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class Example:
    """One image, ready to load.

    Attributes:
        path: local file.
        annotation: checked, in pixels of the upright image; None for an item of the pool.
        size: (width, height) of the upright image; None if it is not known yet.
    """

    item: Item
    path: Path
    annotation: Annotation | None = None
    size: tuple[int, int] | None = None


@dataclass(frozen=True)
class Batch:
    """A batch of examples as model input.

    Attributes:
        images: (rows, 3, H, W) uint8; one row per example, or several for tasks that work on parts of an image.
        targets: one dict of tensors per example; empty for items of the pool.
        sizes: (width, height) of each upright image before resizing.
        owners: (rows,) index of the example that each row belongs to, ascending; None: row i belongs to example i.
    """

    examples: Sequence[Example]
    images: Tensor
    targets: list[dict[str, Tensor]]
    sizes: list[tuple[int, int]]
    owners: Tensor | None = None


class Task(Protocol):
    """What training and inference need from a task; constructed as ``Task(task_options, model_options, classes)``.

    A task may also have ``Options``, a subclass of ``TaskOptions`` with its own settings (``task_options`` is then an
    instance of it), and these optional attributes:

    Attributes:
        unit: what annotation costs are counted in: boxes, joints, pixels or labels; default: images.
        several_labels: whether an image may have several labels, each with its own score; default: False.
        check_frozen: called with the options; raises UsageError if a linear head on pooled features cannot replace
            training.
        trunk_maps: called with (model, batch); maps [(rows, C_i, H_i, W_i)] of the pretrained part, the finest first.
        frozen_head: called with the maps' shapes (C, H, W); a network over ``models.cells.MemorizedTrunk`` that this
            task's other methods accept. A task without it and without ``check_frozen`` has no frozen simulations.
        cuts_by_annotation: whether ``load`` cuts other parts out of an annotated image than out of one of the pool.
        pretrained: whether the ``backbone`` starts from pretrained weights; default: False.
        given_signals: called with an ``ImagePrediction`` that was made elsewhere; the signals that follow from it.
        weigh_classes: called with the training examples before the first step.
        sums_uncertainty: whether ``class_uncertainty`` is a sum over the objects that the model sees, so that an image
            in which it sees none has none; default: False.
        seen_from: ``class_scores`` from which on the model sees a class on an image; default: 0.25.
        confusion: called with (examples, predictions); (true class, predicted class, images), as indices, without
            zeros.
    """

    classes: tuple[str, ...]
    """Names of the model's outputs, in order; for pose the joints."""
    model_name: str
    signal_names: frozenset[str]
    """Signals that this task can compute."""
    input_shape: tuple[int, int]
    """(height, width) of the network's input."""
    loss_weight: float
    """Default λ of ``train.loss_weight``: small enough that the loss head barely affects the model's accuracy."""

    @staticmethod
    def vocabulary(annotation: Annotation, options: TaskOptions) -> set[str]:
        """The classes in one annotation; the union over all annotations gives ``classes``."""
        ...

    def build_model(self) -> nn.Module:
        """The network with its starting weights."""
        ...

    def backbone(self, model: nn.Module) -> nn.Module:
        """The part that ``train.freeze_backbone`` freezes."""
        ...

    def encode(self, item: Item, path: Path, facts: ImageFacts, annotation: Annotation) -> Example:
        """Build a labeled example; raises DataError with the reason when the annotation is invalid."""
        ...

    def load(self, example: Example, augment: str) -> tuple[Tensor, dict[str, Tensor], tuple[int, int]]:
        """Load image (3, H, W) uint8, target, and size before resizing; runs in a worker process; raises DataError.

        A task that works on parts of an image returns (parts, 3, H, W).
        """
        ...

    def losses(self, model: nn.Module, batch: Batch) -> tuple[Tensor, list[Tensor]]:
        """The true loss of each item (batch,), and feature maps [(batch, C_i, H_i, W_i)] for the loss head."""
        ...

    def features(self, model: nn.Module, batch: Batch) -> list[Tensor]:
        """The same feature maps without the losses."""
        ...

    def signals(self, model: nn.Module, batch: Batch, needs: frozenset[str]) -> tuple[dict[str, Tensor], list[Tensor]]:
        """The signals in ``needs``, (batch,) or (batch, d) each, and the feature maps for the loss head."""
        ...

    def discrepancy(self, model: nn.Module, previous: nn.Module, batch: Batch) -> Tensor:
        """Distance between the outputs of this model and the previous cycle's: (batch,)."""
        ...

    def predictions(self, model: nn.Module, batch: Batch) -> list[Annotation]:
        """The model's predicted annotations, in pixels of the upright images."""
        ...

    def evaluate(self, examples: Sequence[Example], predictions: Iterable[Annotation]) -> dict[str, float]:
        """The task's standard metrics in [0, 1], from the standard tool; the first entry is the headline.

        Those of single classes are called ``METRIC/CLASS``.
        """
        ...

    def adapt(self, model: nn.Module, state: dict[str, Tensor], classes: Sequence[str]) -> dict[str, Tensor]:
        """Convert the state dict of a model for ``classes`` to this task's classes."""
        ...
