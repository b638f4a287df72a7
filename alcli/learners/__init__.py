"""Learners: who learns from the annotated images, and who looks at the pool. One file = one learner."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from alcli import plugins
from alcli.context import Context
from alcli.items import Refusal
from alcli.workspace.records import StepRecord, Training

if TYPE_CHECKING:
    from alcli.artifacts.examples import Examples
    from alcli.artifacts.predictor import Predictor


@dataclass(frozen=True)
class Learned:
    """What one learning left.

    Attributes:
        summary: of the training, without metrics. file: in the cycle's folder, on disk already.
        problems: images that could not be used, and were not known before.
    """

    summary: Training
    file: Path
    predictor: Predictor
    problems: Sequence[Refusal] = ()


class Learner(Protocol):
    """Learns in each cycle; constructed as ``Learner(context)``.

    A learner may have ``Options``, a subclass of ``LearnerOptions`` with its own settings.

    Attributes:
        context: with the settings that depend on more than the configuration.
    """

    context: Context

    def check(self) -> None:
        """Raise UsageError or AuthError if it cannot start, before anything else is done."""
        ...

    def can_learn(self, examples: Examples) -> bool:
        """Whether there is enough to learn from; otherwise the cycle is a cold start."""
        ...

    def inputs(self, examples: Examples) -> str:
        """What the result depends on in addition to the examples, as text."""
        ...

    def learn(self, cycle: int, inputs: str, examples: Examples) -> Learned:
        """Learn, and write one file into the cycle's folder; an interrupted learning resumes with equal ``inputs``."""
        ...

    def load(self, record: StepRecord[Training]) -> Predictor:
        """What an earlier learning left."""
        ...

    def signal_names(self, training: Training) -> frozenset[str]:
        """The signals that can be had after this training, without loading what it left."""
        ...


def make_learner(context: Context) -> Learner:
    """Construct the configured learner; raises UsageError for an unknown name."""
    learner: Learner = plugins.load("learners", context.config.learner.name)(context)
    return learner
