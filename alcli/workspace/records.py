"""What the database remembers, by type: cycles, skips, quarantine, and what each finished step left behind.

The type of a summary names its step: ``workspace.step(7, Training)`` is the training of cycle 7.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import pydantic

from alcli.annotations import PassedOver
from alcli.workspace.measurements import Collapse, Measurement, Reliance


@dataclass(frozen=True)
class CycleRecord:
    """One cycle; ``finished`` is None while it is open, ``inputs`` changes with what it was made from."""

    number: int
    started: str
    finished: str | None
    inputs: str


@dataclass(frozen=True)
class Skip:
    """An item that nobody wants to be asked for."""

    item_id: str
    name: str
    folder: str
    since: str


@dataclass(frozen=True)
class Quarantined:
    """An item, or an annotation, that cannot be used.

    Attributes:
        stage: listing, reading, image, encoding or training: where it was refused.
        version: of the item that was refused; a newer version gets a new chance.
    """

    stage: str
    item_id: str
    name: str
    version: str
    reason: str
    since: str


@dataclass(frozen=True)
class QueueRecord:
    """How a cycle has left the platform's queue.

    Attributes:
        sha256: changes with the queue's items, their order, and what is asked for.
        top: only so many rows were pushed; None: all.
        restored: it was put back to what it had been before the cycle.
    """

    sha256: str
    top: int | None = None
    restored: bool = False


@dataclass(frozen=True)
class Summary:
    """What a step says about itself in the database, in ``--json`` documents and in the log."""

    step: ClassVar[str]

    def document(self) -> dict[str, Any]:
        """The summary as JSON values."""
        return asdict(self)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Summary:
        """The summary that ``document`` wrote; unknown keys are ignored, raises ValueError for wrong types."""
        return _checker(cls).validate_python(dict(document))  # type: ignore[arg-type]


@functools.cache
def _checker(kind: type[Summary]) -> pydantic.TypeAdapter:
    return pydantic.TypeAdapter(kind)


Kind = TypeVar("Kind", bound=Summary)
"""The type of a step's summary."""


@dataclass(frozen=True)
class StepRecord(Generic[Kind]):
    """One finished step.

    Attributes:
        inputs: changes with everything that the step's result depends on.
        file: what the step wrote, with its SHA-256; None where it wrote none.
    """

    cycle: int
    inputs: str
    file: Path | None
    sha256: str | None
    summary: Kind
    finished: str


@dataclass(frozen=True)
class NewClass:
    """A class that no annotation had before, and how many images have it now."""

    name: str
    images: int


@dataclass(frozen=True)
class Contents:
    """What all stored annotations hold, apart from objects that are used.

    Attributes:
        passed_over: objects that are not used.
        empty: number of annotated images without objects.
        absent_classes: classes of a class list that no annotation has.
        ignored_masks: number of masks with pixels of ``task.ignore_index``.
    """

    passed_over: tuple[PassedOver, ...] = ()
    empty: int = 0
    absent_classes: tuple[str, ...] = ()
    ignored_masks: int = 0


@dataclass(frozen=True)
class Pulled(Summary):
    """Numbers of a pull; ``refused`` counts items and annotations that cannot be used.

    Attributes:
        new_classes: not at the first pull, and not if ``task.classes`` is set.
    """

    step = "pull"
    items: int
    labeled: int
    new_items: int
    vanished_items: int
    annotations_read: int
    refused: int
    contents: Contents = Contents()
    new_classes: tuple[NewClass, ...] = ()


WORKSPACE_CYCLE = 0
"""The cycle of records that belong to the whole workspace."""


@dataclass(frozen=True)
class Recognized(Summary):
    """The formats in which annotations were found; recorded as a step of cycle 0.

    Attributes:
        formats: name of the format by task and place of the annotations.
    """

    step = "format"
    formats: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class FirstLook(Summary):
    """What `alcli init` saw before the first pull; recorded as a step of cycle 0.

    Attributes:
        images, annotated: numbers of images.
    """

    step = "init"
    images: int = 0
    annotated: int = 0


@dataclass(frozen=True)
class LabelFolders(Summary):
    """How many files the folders of annotations held at the last pull; recorded as a step of cycle 0.

    Attributes:
        folders: number of files by the folder's path below the annotations, "" for themselves.
    """

    step = "label-folders"
    folders: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class QueueStored(Summary):
    """The file in which a cycle's queue was read back; as a record of its cycle, ``inputs`` is that of the queue."""

    step = "queue-file"
    sha256: str = ""


@dataclass(frozen=True)
class StartingWeights(Summary):
    """What ``model.weights = auto`` became at the first training; recorded as a step of cycle 0.

    Attributes:
        chosen: "none" or "imagenet" by ``task/model``.
    """

    step = "weights"
    chosen: dict[str, str] = field(default_factory=dict)


BUILTIN = "builtin"
"""The learner that trains alcli's own networks."""


@dataclass(frozen=True)
class Training(Summary):
    """A training; without a usable annotation a cold start, which has no model.

    Attributes:
        classes: in the order of the model's outputs.
        trained_on, held_out: numbers of images.
        validation: the held-out share that was configured.
        started_from: "none", "imagenet", a file, or the cycle whose model was fine-tuned.
        metrics: on the held-out images, the headline first; empty where nothing could be measured.
        agreement: with the model before, in [0, 1]; None where they were not compared.
        reused_from: the cycle whose model was taken over unchanged.
        confusion: held-out images by (true class, predicted class), as indices, with their number; none are zero.
        learner: who learned. predicted: images of the project that another learner than alcli's own predicted.
        signals: what can be had of them.
    """

    step = "train"
    trained_on: int = 0
    held_out: int = 0
    model: str = "none"
    classes: tuple[str, ...] = ()
    validation: float = 0.0
    started_from: str = ""
    learning_rate: float = 0.0
    metrics: dict[str, float] = field(default_factory=dict)
    agreement: float | None = None
    cold_start: bool = False
    reused_from: int | None = None
    confusion: tuple[tuple[int, int, int], ...] = ()
    learner: str = BUILTIN
    predicted: int = 0
    signals: tuple[str, ...] = ()

    def document(self) -> dict[str, Any]:
        """The summary as JSON values; a cold start has only what it can know."""
        content = asdict(self)
        if self.cold_start:
            return {key: content[key] for key in ("cold_start", "trained_on", "held_out")}
        del content["cold_start"]
        if self.learner == BUILTIN:
            for key in ("learner", "predicted", "signals"):
                del content[key]
        if self.reused_from is None:
            del content["reused_from"]
        if not self.confusion:
            del content["confusion"]
        return content


@dataclass(frozen=True)
class Scored(Summary):
    """A ranked list.

    Attributes:
        strategy: the one that ranked; ``configured_strategy`` may have been another one.
        model_cycle: the cycle of the training whose model scored. model_sha256: of that model's file.
        scored, asked: numbers of images to annotate. at_random: how many of them chance chose.
        rechecks: ids of the annotated items that somebody should look at again.
        put_off: near-duplicates, and images of groups that already have their share.
        shared_reasons: what more than half of the images asked for have in common.
        measurement: of the model, with the held-out images weighted to stand for the pool.
        collapse: of the cycle's own model, which did not rank; None as a rule.
        asked_classes: in how many of the images asked for the model sees each class; empty where it does not say.
        reliance: of its uncertainties; None where none was computed, or none could be measured or weighed by.
        computed_by: the backend of the model's signals and its precision; empty where alcli computed none.
    """

    step = "score"
    strategy: str = ""
    model: str = "none"
    model_cycle: int = 0
    model_sha256: str | None = None
    cold_start: bool = False
    scored: int = 0
    asked: int = 0
    rechecks: tuple[str, ...] = ()
    at_random: int = 0
    unscored: int = 0
    put_off: int = 0
    shared_reasons: tuple[str, ...] = ()
    all_scores_equal: bool = False
    configured_strategy: str = ""
    quarantined: int = 0
    measurement: Measurement = field(default_factory=Measurement)
    collapse: Collapse | None = None
    asked_classes: dict[str, int] = field(default_factory=dict)
    reliance: Reliance | None = None
    computed_by: str = ""

    def document(self) -> dict[str, Any]:
        """The summary as JSON values."""
        content = asdict(self)
        if self.collapse is None:
            del content["collapse"]
        return content


def measurement_of(training: StepRecord[Training] | None, scored: StepRecord[Scored] | None) -> Measurement:
    """The one measurement of a cycle: with the pool where it was scored, otherwise on the held-out images alone."""
    if training is None:
        return Measurement()
    if scored and scored.summary.measurement.metrics and scored.summary.model_sha256 == training.sha256:
        return scored.summary.measurement
    if scored and (collapse := scored.summary.collapse) and collapse.model_sha256 == training.sha256:
        return collapse.measurement
    held_out = training.summary.held_out
    return Measurement("", held_out, float(held_out), training.summary.metrics)


@dataclass(frozen=True)
class Exported(Summary):
    """The list as CSV files."""

    step = "export"
    rows: int = 0


@dataclass(frozen=True)
class Pushed(Summary):
    """What a push changed in the platform's queue, and what it handed over; a dry run would have changed.

    Attributes:
        rechecks: number of annotations to look at again. rechecked: ids of all that this cycle has pushed.
        already_labeled, assigned, vanished: why rows were left out.
    """

    step = "push"
    queued: int = 0
    new: int = 0
    moved: int = 0
    leaving: int = 0
    rechecks: int = 0
    left_out: int = 0
    already_labeled: int = 0
    assigned: int = 0
    vanished: int = 0
    changes: int = 0
    assign: tuple[str, ...] = ()
    status: str = ""
    subset: str = ""
    prelabels: bool = False
    rechecked: tuple[str, ...] | None = None

    def document(self) -> dict[str, Any]:
        """The summary as JSON values, without what nobody wanted handed over."""
        optional = {"assign", "status", "subset", "prelabels"}
        content = {key: value for key, value in asdict(self).items() if key not in optional or value}
        if self.rechecked is None:
            del content["rechecked"]
        return content


@dataclass(frozen=True)
class Restored(Pushed):
    """A queue that was put back."""

    step = "restore"


@dataclass(frozen=True)
class Reported(Summary):
    """The page of a cycle: its file, how many images it shows, and how many of them cannot be read."""

    step = "report"
    file: str
    images: int
    missing: int
    bytes: int
    suspicious: int
    audit: str
    outlook: str
