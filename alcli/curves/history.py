"""The project's history: all cycles and the learning curve, from the records of finished steps."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from alcli.curves.metrics import CORRELATION
from alcli.curves.recipe import differences, recipe
from alcli.workspace import Workspace
from alcli.workspace.measurements import Collapse, Reliance
from alcli.workspace.records import CycleRecord, Exported, Pushed, Scored, Training, measurement_of


@dataclass(frozen=True)
class CycleFacts:
    """One cycle, from the records of its steps.

    Attributes:
        labels: annotated images, including held-out ones; 0 before the training.
        held_out: images that the metrics were measured on. effective_images: images of equal weight that are as many.
        metrics: the headline first; empty if nothing could be measured.
        interval: of the headline, 90 %; None where it was not measured with the pool.
        method: how it was measured, as in ``Measurement``.
        agreement: of its model's predictions with the previous model's, in [0, 1]; None if not compared.
        reliance: of its model's uncertainties; None where nobody measured it.
        reused: whether it used the model of an earlier cycle.
        settings: that its model's quality depends on. collapse: why its model did not rank; None as a rule.
    """

    number: int
    started: str
    finished: str | None
    steps_done: Sequence[str] = ()
    labels: int = 0
    trained_on: int = 0
    held_out: int = 0
    effective_images: float = 0.0
    metrics: Mapping[str, float] = field(default_factory=dict)
    interval: tuple[float, float] | None = None
    method: str = ""
    agreement: float | None = None
    reliance: Reliance | None = None
    reused: bool = False
    strategy: str = ""
    ranked: int = 0
    asked: int = 0
    cold_start: bool = False
    settings: Mapping[str, str] = field(default_factory=dict)
    collapse: Collapse | None = None

    @property
    def headline(self) -> tuple[str, float] | None:
        """Name and value of the task's main metric."""
        return next(((name, value) for name, value in self.metrics.items() if name != CORRELATION), None)

    @property
    def correlation(self) -> float | None:
        """Spearman correlation of predicted and true losses on the held-out images."""
        return self.metrics.get(CORRELATION)


def history(workspace: Workspace) -> list[CycleFacts]:
    """Every cycle, oldest first."""
    ranked_by = {record.summary.model_sha256 for record in workspace.all_steps(Scored)}
    return [_facts(workspace, cycle, ranked_by) for cycle in workspace.store.cycles()]


def curve(cycles: Sequence[CycleFacts]) -> list[CycleFacts]:
    """The cycles with a new model, and the same main metric and settings as the newest of them that ranked.

    A mean over the held-out images alone may be biased: such cycles are left out where others were measured better.
    """
    evaluated = _evaluated(cycles)
    ranked = [cycle for cycle in evaluated if not cycle.collapse]
    newest = ranked[-1].settings if ranked else {}
    return [cycle for cycle in ranked if not differences(cycle.settings, newest)]


def apart(cycles: Sequence[CycleFacts]) -> list[CycleFacts]:
    """The cycles with the same main metric that lie on another curve: of other settings, or with a collapsed model."""
    numbers = {cycle.number for cycle in curve(cycles)}
    return [cycle for cycle in _evaluated(cycles) if cycle.number not in numbers]


def _evaluated(cycles: Sequence[CycleFacts]) -> list[CycleFacts]:
    """The cycles with a new model and the same main metric as the newest of them."""
    evaluated = [cycle for cycle in cycles if cycle.headline and math.isfinite(cycle.headline[1]) and not cycle.reused]
    evaluated = [cycle for cycle in evaluated if cycle.method] or evaluated
    if not evaluated or evaluated[-1].headline is None:
        return []
    name = evaluated[-1].headline[0]
    return [cycle for cycle in evaluated if cycle.headline and cycle.headline[0] == name]


def _facts(workspace: Workspace, cycle: CycleRecord, ranked_by: Collection[str | None]) -> CycleFacts:
    training_record, scored_record = workspace.step(cycle.number, Training), workspace.step(cycle.number, Scored)
    records = [training_record, scored_record, *(workspace.step(cycle.number, kind) for kind in (Exported, Pushed))]
    training = training_record.summary if training_record else Training()
    measurement = measurement_of(training_record, scored_record)
    scored = scored_record.summary if scored_record else Scored()
    # Whoever has accepted a worse model goes on from it.
    accepted = scored.collapse is not None and scored.collapse.model_sha256 in ranked_by
    return CycleFacts(
        number=cycle.number,
        started=cycle.started,
        finished=cycle.finished,
        steps_done=[record.summary.step for record in records if record],
        labels=training.trained_on + training.held_out,
        trained_on=training.trained_on,
        held_out=measurement.images,
        effective_images=measurement.effective_images,
        metrics=measurement.metrics,
        interval=measurement.interval,
        method=measurement.method,
        agreement=training.agreement,
        reliance=scored.reliance,
        reused=training.reused_from is not None,
        strategy=scored.strategy,
        ranked=scored.scored,
        asked=scored.asked,
        cold_start=training.cold_start,
        settings=recipe(workspace, cycle.number, training.model),
        collapse=None if accepted else scored.collapse,
    )
