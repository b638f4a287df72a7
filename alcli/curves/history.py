"""What the finished steps of all cycles say about the project's course: the learning curve, without any model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from alcli.workspace import Workspace
from alcli.workspace.records import CycleRecord, Exported, Pushed, Scored, Training

CORRELATION = "loss_rank_correlation"
"""How well predicted losses rank the true ones on held-out items (Spearman), among a training's metrics."""


@dataclass(frozen=True)
class CycleFacts:
    """One cycle, as its steps recorded it.

    Attributes:
        labels: annotated images it stood on, held-out ones included; 0 before the training.
        held_out: images that the metrics were measured on.
        metrics: the headline first; empty where nothing could be measured.
        agreement: of its model's predictions with those of the one before, in [0, 1]; None where not compared.
        reused: whether it went on with the model of an earlier cycle.
    """

    number: int
    started: str
    finished: str | None
    steps_done: Sequence[str] = ()
    labels: int = 0
    trained_on: int = 0
    held_out: int = 0
    metrics: Mapping[str, float] = field(default_factory=dict)
    agreement: float | None = None
    reused: bool = False
    strategy: str = ""
    ranked: int = 0
    asked: int = 0
    cold_start: bool = False

    @property
    def headline(self) -> tuple[str, float] | None:
        """Name and value of the task's own metric."""
        return next(((name, value) for name, value in self.metrics.items() if name != CORRELATION), None)

    @property
    def correlation(self) -> float | None:
        """Predicted against true losses on the held-out images."""
        return self.metrics.get(CORRELATION)


def history(workspace: Workspace) -> list[CycleFacts]:
    """Every cycle, oldest first."""
    return [_facts(workspace, cycle) for cycle in workspace.store.cycles()]


def curve(cycles: Sequence[CycleFacts]) -> list[CycleFacts]:
    """The cycles that measured a model of their own by the metric that the newest one is measured by."""
    measured = [row for row in cycles if row.headline and not row.reused]
    if not measured or measured[-1].headline is None:
        return []
    name = measured[-1].headline[0]
    return [row for row in measured if row.headline and row.headline[0] == name]


def _facts(workspace: Workspace, cycle: CycleRecord) -> CycleFacts:
    training_record, scored_record = workspace.step(cycle.number, Training), workspace.step(cycle.number, Scored)
    records = [training_record, scored_record, *(workspace.step(cycle.number, kind) for kind in (Exported, Pushed))]
    training = training_record.summary if training_record else Training()
    scored = scored_record.summary if scored_record else Scored()
    return CycleFacts(
        number=cycle.number,
        started=cycle.started,
        finished=cycle.finished,
        steps_done=[record.summary.step for record in records if record],
        labels=training.trained_on + training.held_out,
        trained_on=training.trained_on,
        held_out=training.held_out,
        metrics=training.metrics,
        agreement=training.agreement,
        reused=training.reused_from is not None,
        strategy=scored.strategy,
        ranked=scored.scored,
        asked=scored.asked,
        cold_start=training.cold_start,
    )
