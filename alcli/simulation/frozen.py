"""Frozen simulation: cycles in seconds, because only a small head is trained, on features computed once."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Generic, Protocol, TypeVar

import numpy as np

from alcli.annotations import Annotation, object_counts
from alcli.config import Config
from alcli.errors import DataError
from alcli.items import Item
from alcli.selection.query import Query
from alcli.selection.rank import Draw, further_signals, rank
from alcli.signals import Signals
from alcli.simulation.labels import Labels
from alcli.simulation.runs import Job, Point
from alcli.strategies import QueryStrategy, control_share, make_strategy, needs_labeled
from alcli.system.hashing import seed_of


class FrozenModel(Protocol):
    """A small head after its training."""

    def signals(self, item_ids: Sequence[str], names: frozenset[str]) -> dict[str, np.ndarray]:
        """The signals of these items of the pool, (k,) or (k, d) each."""
        ...

    def metrics(self) -> dict[str, float]:
        """The task's metrics on the test images, the headline first."""
        ...


Model = TypeVar("Model", bound=FrozenModel)


class Learner(Protocol[Model]):
    """Trains a small head; constructed once per process."""

    def learn(self, item_ids: Sequence[str], needs: frozenset[str], seed: int, before: Model | None) -> Model:
        """Train on these items of the pool.

        Args:
            needs: the signals that will be asked for.
            before: the model of the cycle before, which ``output_discrepancy`` compares with.
        """
        ...


@dataclass
class FrozenEngine(Generic[Model]):
    """Plays the cycles of a run with a learner that takes seconds."""

    config: Config
    labels: Labels
    learner: Learner[Model]

    def turns(self, job: Job, points: Sequence[Point]) -> Iterator[Point]:
        """Yield all points after ``points``; the run is repeated from its start, which takes seconds."""
        strategy: QueryStrategy = make_strategy(job.arm.strategy, self.config.strategy)
        needs = strategy.needs | needs_labeled(strategy)
        pool = [example.item.id for example in self.labels.pool]
        revealed = job.plan.start_set(pool, job.seed)
        model: Model | None = None
        for cycle in range(job.plan.cycles + 1):
            model = self.learner.learn(revealed, needs, job.seed, model)
            cost = sum(self.labels.costs[item_id] for item_id in revealed)
            asked: list[str] = []
            at_random = 0
            if cycle < job.plan.cycles:
                left = sorted(set(pool) - set(revealed))
                query = self._query(model, job, cycle, left, revealed)
                asked = [row.item.id for row in query.rows if row.asked]
                at_random = query.at_random
            if cycle >= len(points):
                yield Point(cycle, len(revealed), cost, model.metrics(), asked, at_random)
            revealed = revealed + asked

    def _query(self, model: Model, job: Job, cycle: int, left: Sequence[str], revealed: Sequence[str]) -> Query:
        strategy: QueryStrategy = make_strategy(job.arm.strategy, self.config.strategy)
        options = self.config.selection.model_copy(update={"budget": job.plan.budget})
        labeled_needs = needs_labeled(strategy)
        labeled = Signals(revealed, model.signals(revealed, labeled_needs)) if labeled_needs else None
        signals = Signals(left, model.signals(left, strategy.needs | further_signals(options)), labeled)
        signals = replace(signals, class_counts=self._class_counts(revealed))
        share = control_share(self.config.strategy, job.arm.strategy)
        query = rank(strategy, signals, self._items, options, Draw(seed_of(job.seed, cycle), share))
        if query.unscored:
            refusal = query.unscored[0]
            raise DataError(f"{refusal.name}: {refusal.reason}.", do=f"Leave {job.arm.name} out.")
        return query

    def _class_counts(self, revealed: Sequence[str]) -> list[int]:
        counts = object_counts(self._answers[item_id] for item_id in revealed)
        return [counts[name] for name in self.labels.classes]

    @functools.cached_property
    def _answers(self) -> dict[str, Annotation]:
        return {example.item.id: answer for example, answer in self.labels.answers()}

    @functools.cached_property
    def _items(self) -> dict[str, Item]:
        return {example.item.id: example.item for example in self.labels.pool}
