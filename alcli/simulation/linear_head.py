"""A linear head and a loss head on pooled features of a pretrained network, fitted in milliseconds: classification."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import KFold
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from alcli.annotations import Annotation
from alcli.artifacts.configured_task import make_task
from alcli.config import Config, TrainOptions
from alcli.models import uncertainty
from alcli.models.loss_head import LossHead, form_loss
from alcli.simulation.features import Features
from alcli.simulation.labels import Labels
from alcli.tasks import Task

ITERATIONS = 500
FOLDS = 3
LOSS_HEAD_STEPS, LOSS_HEAD_BATCH, LOSS_HEAD_RATE = 300, 64, 1e-3


@dataclass
class LinearLearner:
    """Fits scikit-learn's logistic regression to standardized features.

    Attributes:
        inverse_strength: ``C`` of the logistic regression; the default is scikit-learn's.
    """

    config: Config
    labels: Labels
    features: Features
    inverse_strength: float = 1.0

    def learn(
        self, item_ids: Sequence[str], needs: frozenset[str], seed: int, before: LinearModel | None
    ) -> LinearModel:
        """Fit to these items of the pool."""
        rows = self.features.rows(item_ids)
        targets = np.array([self._targets[row] for row in rows.tolist()])
        head = _Head(self._vectors, len(self.labels.classes), self.inverse_strength, before.head if before else None)
        head.fit(rows, targets)
        if "predicted_loss" in needs:
            head.learn_losses(self._maps, rows, targets, seed, self.config.train)
        return LinearModel(self, head)

    @functools.cached_property
    def task(self) -> Task:
        """The task with all classes."""
        return make_task(self.config, self.labels.classes)

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


@dataclass
class LinearModel:
    """A fitted head, as a simulation asks it."""

    learner: LinearLearner
    head: _Head

    def signals(self, item_ids: Sequence[str], names: frozenset[str]) -> dict[str, np.ndarray]:
        """The signals of these items."""
        features = self.learner.features
        rows = features.rows(item_ids)
        return {
            name: features.embedding[rows] if name == "embedding" else self.head.signal(name, rows, self.learner.config)
            for name in sorted(names)
        }

    def metrics(self) -> dict[str, float]:
        """The task's metrics on the test images."""
        labels = self.learner.labels
        rows = self.learner.features.rows([example.item.id for example in labels.test])
        best = self.head.probabilities(rows).argmax(axis=1).tolist()
        predictions = [
            Annotation(example.item.id, labels=(labels.classes[index],), label_scores=(1.0,))
            for example, index in zip(labels.test, best, strict=True)
        ]
        return self.learner.task.evaluate(labels.test, predictions)


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
            with warnings.catch_warnings():
                # With more classes than half of the labels, scikit-learn asks whether these are classes. They are.
                warnings.filterwarnings("ignore", "The number of unique classes", UserWarning)
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
        self, maps: Sequence[Tensor], rows: np.ndarray, targets: np.ndarray, seed: int, options: TrainOptions
    ) -> None:
        """Train the loss head by the ranking loss of its form (``train.loss_head``).

        A converged linear head has uninformative training losses, so the true losses come from 3-fold cross-validation.
        """
        actual = torch.from_numpy(self._validation_losses(rows, targets, seed))
        head = fit_loss_head([part[rows] for part in maps], actual, options, seed)
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


def fit_loss_head(maps: Sequence[Tensor], losses: Tensor, options: TrainOptions, seed: int) -> LossHead:
    """Train a loss head by the ranking loss on maps [(k, C_i, H_i, W_i)] and the true losses (k,) of the same items."""
    torch.manual_seed(seed)
    head = LossHead([part.shape[1] for part in maps])
    optimizer = torch.optim.AdamW(head.parameters(), LOSS_HEAD_RATE)
    rng = np.random.default_rng(seed)
    size = min(LOSS_HEAD_BATCH, len(losses))
    for _ in range(LOSS_HEAD_STEPS):
        picked = rng.choice(len(losses), size, replace=False)
        predicted = head([part[picked] for part in maps])
        loss = form_loss(options.loss_head, predicted, losses[picked], options.margin)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return head
