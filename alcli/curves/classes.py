"""Numbers of each class: what is annotated, how well the newest model finds it, and what is asked for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from alcli.annotations import Annotation, image_counts, object_counts
from alcli.items import LABELED
from alcli.system.text import quantity, shortened
from alcli.workspace import Workspace
from alcli.workspace.records import Scored, Training, measurement_of

NAMES = {"ap50": "AP50", "recall": "accuracy", "iou": "IoU", "pck": "PCK", "ap": "AP"}
"""Metrics of single classes, as they are called in the files → as people read them; the first known one judges."""
NAMED = 5
LONGEST = 40
"""Characters of a class name in a sentence; tables have the whole name."""


@dataclass(frozen=True)
class ClassNumbers:
    """One class.

    Attributes:
        images, objects: annotated ones. asked: images asked for on which the model sees the class; None: unknown.
        metrics: of the newest model by the names in ``NAMES``, in [0, 1]; empty for a class without held-out objects.
    """

    name: str
    images: int
    objects: int
    asked: int | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """As JSON values."""
        return {"class": self.name, "images": self.images, "objects": self.objects, "asked": self.asked, **self.metrics}


def class_numbers(
    classes: Sequence[str],
    annotations: Iterable[Annotation],
    metrics: Mapping[str, float],
    asked: Mapping[str, int],
) -> list[ClassNumbers]:
    """The numbers of these classes, in their order.

    Args:
        metrics: of a model, with those of single classes as ``METRIC/CLASS``.
        asked: images asked for by class; empty if unknown.
    """
    annotations = list(annotations)
    images, objects = image_counts(annotations), object_counts(annotations)
    return [
        ClassNumbers(
            name, images[name], objects[name], asked.get(name, 0) if asked else None, _metrics_of(name, metrics)
        )
        for name in classes
    ]


def newest_class_numbers(workspace: Workspace) -> list[ClassNumbers]:
    """The numbers of the classes of the newest model; of those that are annotated before there is one."""
    training, scored = workspace.newest(Training), workspace.newest(Scored)
    annotations = workspace.store.annotations(item.id for item in workspace.store.pool().in_state(LABELED))
    classes = training.summary.classes if training else ()
    measurement = measurement_of(training, workspace.step(training.cycle, Scored) if training else None)
    return class_numbers(
        classes or sorted(object_counts(annotations)),
        annotations,
        measurement.metrics,
        scored.summary.asked_classes if scored else {},
    )


def metric_kinds(rows: Sequence[ClassNumbers]) -> list[str]:
    """The metrics that any class has, in the order in which they are shown."""
    return [kind for kind in NAMES if any(kind in row.metrics for row in rows)]


def never_found(rows: Sequence[ClassNumbers]) -> str:
    """One sentence about the classes that the model never finds; empty if there are none."""
    kinds = metric_kinds(rows)
    measured = [row for row in rows if kinds and kinds[0] in row.metrics]
    missed = [row for row in measured if not row.metrics[kinds[0]]]
    if not missed:
        return ""
    if len(missed) == len(measured) > 1:
        return "The model finds none of its classes yet."
    # The unit stands at the first number only.
    first = f"{shortened(missed[0].name, LONGEST)} ({quantity(missed[0].images, 'annotated image')})"
    parts = [first, *(f"{shortened(row.name, LONGEST)} ({row.images})" for row in missed[1:NAMED])]
    more = f" and {quantity(len(missed) - NAMED, 'more class')}" if len(missed) > NAMED else ""
    return f"The model never finds {', '.join(parts)}{more}."


def _metrics_of(name: str, metrics: Mapping[str, float]) -> dict[str, float]:
    kinds = (key.partition("/")[0] for key in metrics if key.partition("/")[2] == name)
    return {kind: metrics[f"{kind}/{name}"] for kind in kinds}
