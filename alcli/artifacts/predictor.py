"""Whatever looks at images in a cycle: alcli's own network, predictions made elsewhere, or another runtime."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

from alcli import plugins
from alcli.annotations import Annotation
from alcli.context import Context
from alcli.errors import AlcliError
from alcli.items import Item, Refusal
from alcli.signals import Signals
from alcli.system.progress import Advance
from alcli.workspace.records import BUILTIN, StepRecord, Training

if TYPE_CHECKING:
    from alcli.tasks import Example, Task

Part = tuple[Signals, list[Refusal]]
"""(signals of some items, why others could not be looked at)."""
ItemLoss = tuple[str, float, float]
"""(item id, true loss, predicted loss)."""


class Predictor(Protocol):
    """A model that has learned, ready to be asked; loaded once per run."""

    @property
    def task(self) -> Task:
        """The task, with the classes that the model was trained on."""
        ...

    @property
    def record(self) -> StepRecord[Training]:
        """Of the training; one without a file left no model."""
        ...

    @property
    def signal_names(self) -> frozenset[str]:
        """The signals that can be had."""
        ...

    @property
    def computed_by(self) -> str:
        """What computes the signals, in words; another backend or precision may round otherwise."""
        ...

    def lacks(self, missing: Collection[str]) -> AlcliError:
        """The error for signals that cannot be had: which, and what to do."""
        ...

    def unknown(self, items: Sequence[Item], names: frozenset[str]) -> Sequence[Item]:
        """The items about which none of these signals is known; they are ranked last."""
        ...

    def needs_images(self, names: frozenset[str]) -> bool:
        """Whether these signals are computed from pixels, so that the images have to be fetched."""
        ...

    def signals(self, examples: Sequence[Example], names: frozenset[str], advance: Advance) -> Iterator[Part]:
        """Yield the signals of ``score.shard`` examples at a time, in the given order."""
        ...

    def predictions(self, examples: Sequence[Example]) -> Iterator[Annotation]:
        """What the model would annotate, in the given order; an image that it cannot judge is left out."""
        ...

    def losses(self, examples: Sequence[Example]) -> list[ItemLoss]:
        """True and predicted loss of each annotated example that can be judged, in the given order."""
        ...

    def earlier(self, cycle: int) -> Predictor | None:
        """The model before this one, for the same classes; None where there is none to compare with."""
        ...


def load_predictor(context: Context, record: StepRecord[Training]) -> Predictor:
    """Load what a finished training left, by the learner that made it.

    Raises:
        WorkspaceDamaged: the file is not what the training wrote.
        DataError: it does not fit.
    """
    # A cold start left nothing: features come from the network that a training would start from.
    name = record.summary.learner if record.file else BUILTIN
    predictor: Predictor = plugins.load("learners", name)(context).load(record)
    return predictor
