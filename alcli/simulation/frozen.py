"""Frozen simulation: cycles in seconds with a linear head and a loss head on precomputed features."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import KFold
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from alcli.annotations import Annotation
from alcli.artifacts.examples import make_task
from alcli.config import Config
from alcli.errors import DataError
from alcli.items import Item
from alcli.models import uncertainty
from alcli.models.loss_head import LossHead, ranking_loss
from alcli.selection.query import Query
from alcli.selection.rank import Draw, further_signals, rank
from alcli.signals import Signals
from alcli.simulation.features import Features
from alcli.simulation.labels import Labels
from alcli.simulation.runs import Job, Point
from alcli.strategies import QueryStrategy, control_share, make_strategy, needs_labeled
from alcli.system.hashing import seed_of
from alcli.tasks import Task

SIGNALS = uncertainty.SIGNALS
"""A linear head provides every signal."""
ITERATIONS = 500
FOLDS = 3
LOSS_HEAD_STEPS, LOSS_HEAD_BATCH, LOSS_HEAD_RATE = 300, 64, 1e-3


@dataclass
class FrozenEngine:
    """Fits scikit-learn's logistic regression to standardized features in every cycle.

    Attributes:
        inverse_strength: ``C`` of the logistic regression; the default is scikit-learn's.
    """

    config: Config
    labels: Labels
    features: Features
    inverse_strength: float = 1.0

    def turns(self, job: Job, points: Sequence[Point]) -> Iterator[Point]:
        """Yield all points after ``points``; the run is repeated from its start, which takes seconds."""
        strategy: QueryStrategy = make_strategy(job.arm.strategy, self.config.strategy)
        pool = [example.item.id for example in self.labels.pool]
        revealed = job.plan.start_set(pool, job.seed)
        head = None
        for cycle in range(job.plan.cycles + 1):
            head = self._head(revealed, strategy.needs, job.seed, head)
            cost = sum(self.labels.costs[item_id] for item_id in revealed)
            asked: list[str] = []
            at_random = 0
            if cycle < job.plan.cycles:
                left = sorted(set(pool) - set(revealed))
                query = self._query(head, job, cycle, left, revealed)
                asked = [row.item.id for row in query.rows if row.asked]
                at_random = query.at_random
            if cycle >= len(points):
                yield Point(cycle, len(revealed), cost, self._metrics(head), asked, at_random)
            revealed = revealed + asked

    def _head(self, revealed: Sequence[str], needs: frozenset[str], seed: int, before: _Head | None) -> _Head:
        rows = self.features.rows(revealed)
        targets = np.array([self._targets[row] for row in rows.tolist()])
        head = _Head(self._vectors, len(self.labels.classes), self.inverse_strength, before)
        head.fit(rows, targets)
        if "predicted_loss" in needs:
            head.learn_losses(self._maps, rows, targets, seed, self.config.train.margin)
        return head

    def _query(self, head: _Head, job: Job, cycle: int, left: Sequence[str], revealed: Sequence[str]) -> Query:
        strategy: QueryStrategy = make_strategy(job.arm.strategy, self.config.strategy)
        options = self.config.selection.model_copy(update={"budget": job.plan.budget})
        labeled_needs = needs_labeled(strategy)
        labeled = self._signals(head, labeled_needs, revealed) if labeled_needs else None
        signals = self._signals(head, strategy.needs | further_signals(options), left, labeled)
        share = control_share(self.config.strategy, job.arm.strategy)
        query = rank(strategy, signals, self._items, options, Draw(seed_of(job.seed, cycle), share))
        if query.unscored:
            refusal = query.unscored[0]
            raise DataError(f"{refusal.name}: {refusal.reason}.", do=f"Leave {job.arm.name} out.")
        return query

    def _signals(
        self, head: _Head, needs: frozenset[str], item_ids: Sequence[str], labeled: Signals | None = None
    ) -> Signals:
        rows = self.features.rows(item_ids)
        arrays = {
            name: self.features.embedding[rows] if name == "embedding" else head.signal(name, rows, self.config)
            for name in sorted(needs)
        }
        return Signals(item_ids, arrays, labeled)

    def _metrics(self, head: _Head) -> dict[str, float]:
        rows = self.features.rows([example.item.id for example in self.labels.test])
        best = head.probabilities(rows).argmax(axis=1).tolist()
        predictions = [
            Annotation(example.item.id, labels=(self.labels.classes[index],), label_scores=(1.0,))
            for example, index in zip(self.labels.test, best, strict=True)
        ]
        return self._task.evaluate(self.labels.test, predictions)

    @functools.cached_property
    def _task(self) -> Task:
        return make_task(self.config, self.labels.classes)

    @functools.cached_property
    def _items(self) -> dict[str, Item]:
        return {example.item.id: example.item for example in self.labels.pool}

    @functools.cached_property
    def _targets(self) -> dict[int, int]:
        rows = self.features.rows([example.item.id for example in self.labels.pool]).tolist()
        targets = [self.labels.classes.index(answer.labels[0]) for _, answer in self.labels.answers()]
        return dict(zip(rows, targets, strict=True))

    @functools.cached_property
    def _vectors(self) -> np.ndarray:
        """Standardized features, by the pool's mean and deviation: only its labels are unknown at the start."""
        pool = self.features.rows([example.item.id for example in self.labels.pool])
        vectors: np.ndarray = StandardScaler().fit(self.features.deep[pool]).transform(self.features.deep)
        return vectors

    @functools.cached_property
    def _maps(self) -> Sequence[Tensor]:
        """Pooled maps as maps of one pixel, which the loss head pools again; each channel has standard deviation 1."""
        scaled = self.features.stages / np.maximum(self.features.stages.std(axis=0), 1e-6)
        parts = torch.from_numpy(scaled).split(self.features.channels, dim=1)
        return [part[:, :, None, None] for part in parts]


class _Head:
    """A logistic regression over all classes, including those without labels yet, and a loss head."""

    def __init__(self, vectors: np.ndarray, classes: int, strength: float, before: _Head | None) -> None:
        self._vectors, self._classes, self._strength = vectors, classes, strength
        self._before = before
        if before is not None:
            before._before = None  # only the previous model is compared
        self._fitted: LogisticRegression | None = None
        self._present: np.ndarray = np.zeros(0, dtype=np.int64)  # classes with labels
        self._losses = np.zeros(0, np.float32)

    def fit(self, rows: np.ndarray, targets: np.ndarray) -> None:
        self._present = np.unique(targets)
        if len(self._present) > 1:
            self._fitted = self._new().fit(self._vectors[rows], targets)

    def probabilities(self, rows: np.ndarray, vectors: np.ndarray | None = None) -> np.ndarray:
        """(k, classes) float64; a class without a label has probability 0."""
        result = np.zeros((len(rows), self._classes))
        if self._fitted is None:
            result[:, self._present] = 1.0
        else:
            result[:, self._present] = self._fitted.predict_proba(self._vectors[rows] if vectors is None else vectors)
        return result

    def learn_losses(
        self, maps: Sequence[Tensor], rows: np.ndarray, targets: np.ndarray, seed: int, margin: float
    ) -> None:
        """Train the loss head on pairs, by the ranking loss (Yoo & Kweon 2019, eq. 2).

        A converged linear head has uninformative training losses, so the true losses come from 3-fold cross-validation.
        """
        actual = torch.from_numpy(self._validation_losses(rows, targets, seed))
        torch.manual_seed(seed)
        head = LossHead([part.shape[1] for part in maps])
        optimizer = torch.optim.AdamW(head.parameters(), LOSS_HEAD_RATE)
        rng = np.random.default_rng(seed)
        size = min(LOSS_HEAD_BATCH, len(rows))
        for _ in range(LOSS_HEAD_STEPS):
            picked = rng.choice(len(rows), size, replace=False)
            predicted = head([part[rows[picked]] for part in maps])
            loss = ranking_loss(predicted, actual[picked], margin)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with torch.inference_mode():
            self._losses = head(maps).numpy()

    def signal(self, name: str, rows: np.ndarray, config: Config) -> np.ndarray:
        """One signal, (k,) or (k, classes), by the formulas of the scoring pass."""
        if name == "predicted_loss":
            return self._losses[rows]
        if name == "expected_objects":
            return np.ones(len(rows), dtype=np.float32)
        probabilities = torch.from_numpy(self.probabilities(rows))  # (k, classes)
        if name == "class_uncertainty":
            values = uncertainty.class_uncertainty(probabilities)
        elif name in uncertainty.UNCERTAINTIES:
            values = uncertainty.UNCERTAINTIES[name](probabilities)
        elif name == "mutual_information":
            values = uncertainty.mutual_information(self._dropout_probabilities(rows, config))
        elif name == "output_discrepancy":
            before = self._before.probabilities(rows) if self._before else probabilities.numpy()
            values = uncertainty.discrepancy(probabilities, torch.from_numpy(before))
        else:
            values = probabilities
        return values.to(torch.float32).numpy()

    def _dropout_probabilities(self, rows: np.ndarray, config: Config) -> Iterator[Tensor]:
        vectors = torch.from_numpy(self._vectors[rows])
        for (part,) in uncertainty.dropout_samples([vectors], config.task):
            yield torch.from_numpy(self.probabilities(rows, part.numpy()))

    def _new(self) -> LogisticRegression:
        return LogisticRegression(C=self._strength, max_iter=ITERATIONS)

    def _validation_losses(self, rows: np.ndarray, targets: np.ndarray, seed: int) -> np.ndarray:
        """Cross-validated losses (k,): −log of the true class's probability, at most −log 10⁻⁶."""
        losses = np.zeros(len(rows))
        if len(rows) < FOLDS:
            return losses
        for kept, left in KFold(FOLDS, shuffle=True, random_state=seed).split(rows):
            head = _Head(self._vectors, self._classes, self._strength, None)
            head.fit(rows[kept], targets[kept])
            true = head.probabilities(rows[left])[np.arange(len(left)), targets[left]]
            losses[left] = -np.log(np.clip(true, 1e-6, None))
        return losses
