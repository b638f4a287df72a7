"""Evaluates a new model on the labeled images that are held out for good."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

import numpy as np
from scipy.stats import spearmanr
from torch import nn

from alcli.annotations import Annotation
from alcli.artifacts.scoring_pass import ScoringPass
from alcli.artifacts.trained import TrainedModel, load_previous
from alcli.context import Context
from alcli.curves.classes import class_numbers
from alcli.engine import inference, stratified
from alcli.engine.agreement import agreement
from alcli.errors import AlcliError, DataError
from alcli.items import LABELED
from alcli.models.loss_head import LossHead
from alcli.signals import Signals
from alcli.system.files import atomic_write
from alcli.system.text import quantity
from alcli.tasks import Example, Task
from alcli.workspace.measurements import PLAIN, STRATIFIED, Measurement
from alcli.workspace.records import Scored, Training

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


def evaluate_model(
    context: Context, cycle: int, task: Task, model: nn.Module, loss_head: LossHead, held_out: Sequence[Example]
) -> Evaluation:
    """Evaluate a cycle's new model; where something cannot be measured, say why."""
    if not held_out:
        return Evaluation()
    context.progress.say(f"Evaluating on {quantity(len(held_out), 'held-out image')}.")
    rows = inference.predictions(task, model, held_out, context.config.score)
    predictions = {prediction.item_id: prediction for prediction in rows}
    held_out = [example for example in held_out if example.item.id in predictions]
    metrics = _metrics(context, task, held_out, predictions)
    if metrics and len(held_out) >= 3:
        true, predicted = inference.losses(task, model, loss_head, held_out, context.config.score)
        if len(set(true.tolist())) > 1 and len(set(predicted.tolist())) > 1:
            metrics[CORRELATION] = float(spearmanr(true, predicted).statistic)
    count_confusions = getattr(task, "confusion", None)
    confusion = count_confusions(held_out, predictions.values()) if count_confusions and metrics else ()
    return Evaluation(metrics, _agreement(context, cycle, task, held_out, predictions), confusion)


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
    context: Context, cycle: int, task: Task, held_out: Sequence[Example], predictions: Mapping[str, Annotation]
) -> float | None:
    """How far this model and the one before predict the same on the held-out images."""
    try:
        previous = load_previous(context, cycle, task)
    except AlcliError as error:
        context.progress.say(f"{error.what} It is not compared with the new model.")
        return None
    if previous is None:
        return None
    before = inference.predictions(task, previous, held_out, context.config.score)
    return agreement(task, held_out, before, predictions.values())


def held_out_signals(
    context: Context, cycle: int, trained: TrainedModel, signals: Signals, examples: Sequence[Example]
) -> Signals:
    """The uncertainties and class scores that the pool has, too, of the held-out images that can be loaded."""
    names = frozenset({*stratified.UNCERTAINTIES, "class_scores"}) & signals.arrays.keys()
    if not names or not examples:
        return Signals([], {})
    return ScoringPass(context, cycle, trained).signals(names, [row.item for row in examples], "signals-held-out")


def measure_with_pool(
    context: Context, trained: TrainedModel, signals: Signals, examples: Sequence[Example], theirs: Signals
) -> Measurement:
    """The model's metrics with the held-out images weighted to stand for all images that it was not trained on.

    Args:
        signals: of the pool. Without an uncertainty among them every image has the same weight, and this is said.
        examples: held out. theirs: ``held_out_signals``.
    """
    training = trained.record.summary
    if not training.metrics:
        return Measurement()
    options = context.config.score
    predictions = {
        prediction.item_id: prediction
        for prediction in inference.predictions(trained.task, trained.model, examples, options)
    }
    examples = [example for example in examples if example.item.id in predictions]
    if not examples:
        return Measurement()
    strata = _strata(context, signals, examples, theirs)
    try:
        measured = stratified.measure(trained.task, examples, predictions, strata, context.config.selection.seed)
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


def write_metrics(context: Context, cycle: int, training: Training, measurement: Measurement, scored: Scored) -> None:
    """Write the cycle's ``metrics.json``: what the training says about itself, the measurement with the pool, classes.

    Args:
        measurement: of the training's model, even if an earlier one has ranked.
    """
    if not measurement.metrics:
        return
    store = context.workspace.store
    annotations = store.annotations(item.id for item in store.pool().in_state(LABELED))
    classes = class_numbers(training.classes, annotations, measurement.metrics, scored.asked_classes)
    content = {
        **training.document(),
        "metrics": measurement.metrics,
        "metric_method": measurement.method,
        "metric_images": measurement.images,
        "metric_interval": measurement.interval,
        "metrics_plain": training.metrics,
        "classes": [numbers.document() for numbers in classes],
        "reliance": scored.reliance and asdict(scored.reliance),
    }
    if scored.collapse:
        content["collapse"] = {"kept_cycle": scored.collapse.kept, "differences": scored.collapse.differences}
    with atomic_write(context.workspace.cycle_folder(cycle) / "metrics.json") as stream:
        stream.write(json.dumps(content, indent=2) + "\n")
