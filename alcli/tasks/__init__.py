"""What a model has to learn: network, per-item loss, signals, metric. One file = one task."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from torch import Tensor, nn

from alcli.annotations import Annotation
from alcli.config import TaskOptions
from alcli.items import ImageFacts, Item


@dataclass(frozen=True)
class Example:
    """One image ready to be loaded.

    Attributes:
        path: local file.
        annotation: checked, in pixels of the upright image; None for an item of the pool.
        size: (width, height) of the upright image; None where nobody has looked yet.
    """

    item: Item
    path: Path
    annotation: Annotation | None = None
    size: tuple[int, int] | None = None


@dataclass(frozen=True)
class Batch:
    """Some examples as the model takes them.

    Attributes:
        images: (rows, 3, H, W) uint8; one row an example, or several where a task looks at parts of an image.
        targets: one dict of tensors per example; empty for items of the pool.
        sizes: (width, height) of each upright image before resizing.
        owners: (rows,) the example that each row belongs to, ascending; None: row i belongs to example i.
    """

    examples: Sequence[Example]
    images: Tensor
    targets: list[dict[str, Tensor]]
    sizes: list[tuple[int, int]]
    owners: Tensor | None = None


class Task(Protocol):
    """What training and inference ask of a task; made as ``Task(task_options, model_options, classes)``.

    A task may also have ``Options`` (settings of its own that extend ``TaskOptions``; ``task_options`` is then an
    instance of them), and further:

    Attributes:
        unit: what annotators make, as costs are counted: boxes, joints, pixels or labels; default: images.
        several_labels: whether an image may have several labels, each with its own score; default: False.
        check_frozen: called with its options; raises UsageError where a linear head on features pooled over the image
            is no fair stand-in for training. Without it none ever is.
    """

    classes: tuple[str, ...]
    """What the model's outputs stand for, in their order; for a pose the joints."""
    model_name: str
    signal_names: frozenset[str]
    """The signals that this task can give."""
    input_shape: tuple[int, int]
    """(height, width) of what the network takes."""
    loss_weight: float
    """λ where ``train.loss_weight`` names none: small enough that the loss head costs the model nothing to speak of."""

    @staticmethod
    def vocabulary(annotation: Annotation, options: TaskOptions) -> set[str]:
        """The classes that an annotation speaks of; all annotations together give ``classes``."""
        ...

    def build_model(self) -> nn.Module:
        """The network with its starting weights."""
        ...

    def backbone(self, model: nn.Module) -> nn.Module:
        """The part that ``train.freeze_backbone`` holds still."""
        ...

    def encode(self, item: Item, path: Path, facts: ImageFacts, annotation: Annotation) -> Example:
        """A labelled example; raises DataError with the reason when the annotation is broken."""
        ...

    def load(self, example: Example, augment: str) -> tuple[Tensor, dict[str, Tensor], tuple[int, int]]:
        """Image (3, H, W) uint8, target, and size before resizing; runs in a worker process; raises DataError.

        Several parts of one image come as (parts, 3, H, W).
        """
        ...

    def losses(self, model: nn.Module, batch: Batch) -> tuple[Tensor, list[Tensor]]:
        """(batch,) true loss of each item, and feature maps [(batch, C_i, H_i, W_i)] for the loss head."""
        ...

    def features(self, model: nn.Module, batch: Batch) -> list[Tensor]:
        """The same feature maps without the losses."""
        ...

    def signals(self, model: nn.Module, batch: Batch, needs: frozenset[str]) -> tuple[dict[str, Tensor], list[Tensor]]:
        """The signals asked for, (batch,) or (batch, d) each, and the feature maps for the loss head."""
        ...

    def discrepancy(self, model: nn.Module, previous: nn.Module, batch: Batch) -> Tensor:
        """(batch,) how far the outputs of the previous cycle's model lie from this model's."""
        ...

    def predictions(self, model: nn.Module, batch: Batch) -> list[Annotation]:
        """What the model would annotate, in pixels of the upright images."""
        ...

    def evaluate(self, examples: Sequence[Example], predictions: Iterable[Annotation]) -> dict[str, float]:
        """The field's own metric in [0, 1], by its own tool; the first entry is the headline."""
        ...

    def adapt(self, model: nn.Module, state: dict[str, Tensor], classes: Sequence[str]) -> dict[str, Tensor]:
        """A state dict of a model for other ``classes``, fitted to this task's classes."""
        ...
