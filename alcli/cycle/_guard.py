"""The guard against a collapsed model: one that is clearly worse than the last does not rank."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from alcli.artifacts.predictor import Predictor, load_predictor
from alcli.context import Context
from alcli.curves.collapse import LEAST_LOSS, is_clearly_worse, is_worse_on_same_images
from alcli.curves.recipe import differences, recipe
from alcli.engine.exchange import compare_on_same_images
from alcli.errors import AlcliError
from alcli.tasks import Example
from alcli.workspace.measurements import Collapse, Measurement, SameImages
from alcli.workspace.records import Scored, StepRecord, Training, measurement_of


def find_collapse(
    context: Context,
    predictor: Predictor,
    held_out: Sequence[Example],
    measurement: Measurement,
    earlier: StepRecord[Training] | None,
) -> Collapse | None:
    """What is wrong with a new model that is clearly worse than the earlier one; None as a rule.

    The intervals of both measurements are wide with few held-out images. Where they overlap, both models are compared
    on the same images: what makes an image hard for both does not count then.

    Args:
        predictor: the new model. held_out: images that it was not trained on. measurement: of it.
    """
    if earlier is None or not measurement.metrics:
        return None
    training = predictor.record
    before, pair = measurement_of(earlier, context.workspace.step(earlier.cycle, Scored)), None
    if not is_clearly_worse(measurement, before):
        pair = _compare(context, predictor, held_out, earlier)
        if pair is None or not is_worse_on_same_images(pair):
            return None
    old, new = (recipe(context.workspace, record.cycle, record.summary.model) for record in (earlier, training))
    return Collapse(
        training.cycle, training.sha256, measurement, earlier.cycle, before, tuple(differences(old, new)), pair
    )


def _compare(
    context: Context, predictor: Predictor, held_out: Sequence[Example], earlier: StepRecord[Training]
) -> SameImages | None:
    """Both models on the held-out images; None where they cannot be compared."""
    trainings = earlier.summary, predictor.record.summary
    # With a larger share, images that the earlier model has learned from would be held out now.
    if trainings[0].classes != trainings[1].classes or trainings[0].validation < trainings[1].validation:
        return None
    try:
        before = load_predictor(context, earlier)
        new, old = ({row.item_id: row for row in each.predictions(held_out)} for each in (predictor, before))
    except AlcliError as error:
        context.progress.detail(f"{error.what} It is not compared with the new model on the same images.")
        return None
    result = compare_on_same_images(predictor.task, held_out, new, old, LEAST_LOSS, context.config.selection.seed)
    return SameImages(**asdict(result)) if result else None
