"""What was found and what the model starts from: the end of `init`, `pull` and `doctor`.

Nothing here imports torch, and annotations are only read for ``SECONDS``.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from alcli.annotations import PassedOver
    from alcli.config import Config
    from alcli.items import Item
    from alcli.platforms import Platform
    from alcli.workspace import Workspace

SECONDS = 0.2
SAMPLE = 400
"""Annotations, evenly spaced, that are read first, so that those of every folder and class count."""
MOST_READ = 10_000
"""Annotations to count in the workspace, the newest."""
SHOWN_CLASSES = 8
DETECTION = "detection"
"""The task of which joints are no classes."""


@dataclass(frozen=True)
class Inventory:
    """What a platform holds.

    Attributes:
        images, annotated: numbers of images.
        title: what people call the annotation format; empty if there is none.
        counts: objects, labels or joints by class name, in the annotations that were read.
        read: number of annotations that were read, or that cannot be.
        unusable: number of annotations and images that cannot be used.
        example: one of them, with its reason.
        passed_over: annotated objects that are not used, by kind.
    """

    images: int
    annotated: int
    title: str = ""
    counts: Counter[str] = field(default_factory=Counter)
    read: int = 0
    unusable: int = 0
    example: str = ""
    passed_over: Sequence[PassedOver] = ()

    def document(self) -> dict[str, Any]:
        """For ``--json``."""
        return {
            "images": self.images,
            "annotated": self.annotated,
            "format": self.title,
            "annotations_read": self.read,
            "classes": dict(self.classes),
            "unusable": self.unusable,
        }

    @property
    def classes(self) -> list[tuple[str, int]]:
        """Classes and counts, the commonest first, equally common ones by name."""
        return sorted(self.counts.items(), key=lambda pair: (-pair[1], pair[0]))

    def sentence(self) -> str:
        """``364 images, 120 annotated (Pascal VOC) · RBC 1,402 · WBC 122``."""
        from alcli.annotations import passed_over_in_words
        from alcli.system.text import visible

        images = "1 image" if self.images == 1 else f"{self.images:,} images"
        known = f" ({self.title})" if self.title and self.annotated else ""
        parts = [f"{images}, {self.annotated:,} annotated{known}"]
        parts += [f"{visible(name, keep='')} {count:,}" for name, count in self.classes[:SHOWN_CLASSES]]
        if len(self.counts) > SHOWN_CLASSES:
            parts.append(f"{len(self.counts) - SHOWN_CLASSES} more classes")
        if self.counts and self.read < self.annotated:
            parts.append(f"counted in {self.read:,} of them")
        if self.passed_over:
            parts.append(f"Passed over: {passed_over_in_words(self.passed_over)}")
        if self.unusable:
            parts.append(f"{self.unusable:,} cannot be used")
        return " · ".join(parts) + (f"\nCannot be used: {visible(self.example, keep='')}" if self.example else "")


def scan(platform: Platform, task: str) -> Inventory:
    """List a local platform's images and read its annotations, as far as the time allows."""
    from alcli.annotations import Annotation, object_counts, sum_by_kind
    from alcli.items import LABELED, Item

    items = list(platform.items())
    images = [item for item in items if isinstance(item, Item)]
    refusals = [item for item in items if not isinstance(item, Item)]
    passed_over: list[PassedOver] = []
    labeled = [item for item in images if item.state == LABELED]
    title = str(getattr(platform, "title", "")) if labeled else ""
    counts: Counter[str] = Counter()
    read, unusable, deadline = 0, len(items) - len(images), time.monotonic() + SECONDS
    for annotation in platform.annotations(_sample_first(labeled)):
        read += 1
        if isinstance(annotation, Annotation):
            counts.update(object_counts([annotation], joints=task != DETECTION))
            passed_over += annotation.passed_over
        else:
            unusable += 1
            refusals.append(annotation)
        if time.monotonic() > deadline:
            break
    example = f"{refusals[0].name}: {refusals[0].reason}" if refusals else ""
    passed = sum_by_kind(passed_over)
    return Inventory(len(images), len(labeled), title, counts, read, unusable, example, passed)


def _sample_first(items: Sequence[Item]) -> list[Item]:
    step = -(-len(items) // SAMPLE) or 1
    return [*items[::step], *(item for number, item in enumerate(items) if number % step)]


def recall(workspace: Workspace, task: str, title: str = "") -> Inventory:
    """What the last pull saw."""
    from alcli.annotations import object_counts

    labeled = len(workspace.store.labeled())
    newest = workspace.store.newest_annotations(MOST_READ)
    counts = object_counts(newest, joints=task != DETECTION)
    total = sum(workspace.store.counts().values())
    unusable = labeled - len(newest) if len(newest) < MOST_READ else 0
    return Inventory(total, labeled, title if labeled else "", counts, len(newest) + unusable, unusable)


def model_line(config: Config, workspace: Workspace) -> tuple[str, bool]:
    """``ssd-mobilenet-v2, untrained weights: …``, and whether the weights are certainly pretrained."""
    from alcli.artifacts.starting_weights import AUTO, model_name, recorded_weights, weights_in_words
    from alcli.config import LearnerOptions

    if config.learner.name != LearnerOptions().name:
        return config.options_of("learner").in_words(), True
    weights = config.model.weights
    if weights == AUTO:
        weights = recorded_weights(workspace, config) or AUTO
    words, pretrained = weights_in_words(config, weights)
    return f"{model_name(config)}, {words}", pretrained


def describe(inventory: Inventory, config: Config, workspace: Workspace, root: Path | None) -> str:
    """Three lines: what was found, what the model starts from, the next command.

    Args:
        root: the workspace as the user has named it; None if it was found from the current folder.
    """
    last = _last_cycle(workspace)
    model = " · ".join(filter(None, (model_line(config, workspace)[0], last)))
    return f"{inventory.sentence()}\n{model}\n{next_command(root)}"


def next_command(root: Path | None) -> str:
    """The last line."""
    return f"Next: alcli cycle -w {root}" if root and str(root) != "." else "Next: alcli cycle"


def _last_cycle(workspace: Workspace) -> str:
    """How long the last cycle that trained took; empty if none did."""
    from alcli.workspace.records import Training

    for cycle in reversed(workspace.store.cycles()):
        training = workspace.step(cycle.number, Training)
        if cycle.finished and training and training.file and training.summary.reused_from is None:
            minutes = (_moment(cycle.finished) - _moment(cycle.started)).total_seconds() / 60
            return f"the last training cycle took {f'{minutes:.0f} min' if minutes >= 1 else 'under a minute'}"
    return ""


def _moment(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S%z")
