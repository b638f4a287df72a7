"""Evaluates a new model on the labeled images that are held out for good."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.stats import spearmanr

from alcli.annotations import Annotation
from alcli.artifacts.predictor import Predictor
from alcli.artifacts.scoring_pass import ScoringPass
from alcli.context import Context
from alcli.engine import stratified
from alcli.engine.agreement import agreement
from alcli.errors import AlcliError, DataError
from alcli.signals import Signals
from alcli.system.text import quantity
from alcli.tasks import Example, Task
from alcli.workspace.measurements import PLAIN, STRATIFIED, Measurement

CORRELATION = "loss_rank_correlation"
"""Key of Spearman's correlation of predicted and true losses on the held-out images."""


@dataclass(frozen=True)
class Evaluation:
    """A model's metrics on the held-out images, and its agreement with the model before.

    Attributes:
        metrics: the headline first; empty where nothing is held out or nothing can be measured.
        agreement: in [0, 1]; None where the models cannot be compared.
        confusion: as in ``Training``.
    """

    metrics: dict[str, float] = field(default_factory=dict)
    agreement: float | None = None
    confusion: Sequence[tuple[int, int, int]] = ()


def evaluate_model(context: Context, cycle: int, predictor: Predictor, held_out: Sequence[Example]) -> Evaluation:
    """Evaluate a cycle's new model; where something cannot be measured, say why."""
    if not held_out:
        return Evaluation()
    context.progress.say(f"Evaluating on {quantity(len(held_out), 'held-out image')}.")
    predictions = {prediction.item_id: prediction for prediction in predictor.predictions(held_out)}
    held_out = [example for example in held_out if example.item.id in predictions]
    metrics = _metrics(context, predictor.task, held_out, predictions)
    if metrics and len(held_out) >= 3:
        losses = predictor.losses(held_out)
        true, predicted = [loss for _, loss, _ in losses], [loss for _, _, loss in losses]
        if len(set(true)) > 1 and len(set(predicted)) > 1:
            metrics[CORRELATION] = float(spearmanr(true, predicted).statistic)
    count_confusions = getattr(predictor.task, "confusion", None)
    confusion = count_confusions(held_out, predictions.values()) if count_confusions and metrics else ()
    return Evaluation(metrics, _agreement(context, cycle, predictor, held_out, predictions), confusion)


def _metrics(
    context: Context, task: Task, held_out: Sequence[Example], predictions: Mapping[str, Annotation]
) -> dict[str, float]:
    """The task's metrics; empty where they cannot be computed."""
    if not held_out:
        return {}
    try:
        return task.evaluate(held_out, predictions.values())
    except DataError as error:
        context.progress.say(f"{error.what} This cycle has no metric.")
        return {}


def _agreement(
    context: Context,
    cycle: int,
    predictor: Predictor,
    held_out: Sequence[Example],
    predictions: Mapping[str, Annotation],
) -> float | None:
    """How far this model and the one before predict the same on the held-out images."""
    try:
        earlier = predictor.earlier(cycle)
    except AlcliError as error:
        context.progress.say(f"{error.what} It is not compared with the new model.")
        return None
    if earlier is None:
        return None
    return agreement(predictor.task, held_out, earlier.predictions(held_out), predictions.values())


def held_out_signals(
    context: Context, cycle: int, predictor: Predictor, signals: Signals, examples: Sequence[Example]
) -> Signals:
    """The uncertainties and class scores that the pool has, too, of the held-out images that can be loaded."""
    names = frozenset({*stratified.UNCERTAINTIES, "class_scores"}) & signals.arrays.keys()
    if not names or not examples:
        return Signals([], {})
    return ScoringPass(context, cycle, predictor).signals(names, [row.item for row in examples], "signals-held-out")


def measure_with_pool(
    context: Context, predictor: Predictor, signals: Signals, examples: Sequence[Example], theirs: Signals
) -> Measurement:
    """The model's metrics with the held-out images weighted to stand for all images that it was not trained on.

    Args:
        signals: of the pool. Without an uncertainty among them every image has the same weight, and this is said.
        examples: held out. theirs: ``held_out_signals``.
    """
    training = predictor.record.summary
    if not training.metrics:
        return Measurement()
    predictions = {prediction.item_id: prediction for prediction in predictor.predictions(examples)}
    examples = [example for example in examples if example.item.id in predictions]
    if not examples:
        return Measurement()
    strata = _strata(context, signals, examples, theirs)
    try:
        measured = stratified.measure(predictor.task, examples, predictions, strata, context.config.selection.seed)
    except DataError:
        return Measurement()  # said by the training
    metrics = measured.metrics
    if CORRELATION in training.metrics:
        metrics[CORRELATION] = training.metrics[CORRELATION]
    method = STRATIFIED if strata.count > 1 else PLAIN
    return Measurement(method, len(examples), strata.effective_images, metrics, measured.interval)


def _strata(context: Context, signals: Signals, examples: Sequence[Example], theirs: Signals) -> stratified.Strata:
    name = stratified.choose_signal(signals)
    if name is None:
        context.progress.say("The strategy looks at no uncertainty: the metric is a plain mean over held-out images.")
        return stratified.equal_strata(len(examples))
    known = dict(zip(theirs.item_ids, stratified.uncertainty(theirs, name).tolist(), strict=True))
    held_out = np.array([known.get(example.item.id, np.nan) for example in examples])
    return stratified.make_strata(stratified.uncertainty(signals, name), held_out)
