"""Rank with predictions that you made elsewhere: a file or folder of them; training is skipped."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from alcli.artifacts.configured_task import make_task
from alcli.artifacts.examples import Examples
from alcli.context import Context
from alcli.errors import DataError, UsageError
from alcli.items import LABELED, UNLABELED
from alcli.learners import Learned
from alcli.learners._collect import Collected, collect
from alcli.learners._predictions_options import PredictionsOptions, hash_of
from alcli.predictions import Problem, Rules
from alcli.predictions.survey import PoolNames, names_in_words
from alcli.predictions.tables import read_embeddings
from alcli.system.hashing import sha256_of_text
from alcli.system.text import quantity
from alcli.workspace.records import StepRecord, Training

if TYPE_CHECKING:
    from alcli.learners._given import GivenPredictions

FILE_NAME = "predictions.jsonl"
NO_CLASSES = "No class is known: neither the annotations nor the predictions name any."


@dataclass(frozen=True)
class Sources:
    """Files of predictions, and what to call them in messages."""

    predictions: Path
    embeddings: Path | None = None
    coco: Path | None = None


class Predictions:
    """Reads predictions made elsewhere, and keeps those of the project's images in the cycle's folder.

    Metrics come from the predictions on the held-out images, which the model must not have been trained on:
    `alcli list held-out` names them.
    """

    Options = PredictionsOptions

    def __init__(self, context: Context) -> None:
        self.context = context

    @cached_property
    def options(self) -> PredictionsOptions:
        """The settings of this learner, paths resolved."""
        options: PredictionsOptions = self.context.config.options_of("learner")
        return options

    def check(self) -> None:
        """Raises UsageError unless there is a file of predictions."""
        path = self.options.predictions
        if path is None:
            raise UsageError(
                "The learner predictions needs a file of predictions.", do="Name it: --predictions preds.jsonl"
            )
        if not path.exists():
            raise UsageError(f"There is no {path}.", do="Write the predictions there, or correct learner.predictions.")

    def can_learn(self, examples: Examples) -> bool:
        """Always: predictions need no labels."""
        return True

    def inputs(self, examples: Examples) -> str:
        """The content of the files, and which images there are."""
        pool = self.context.workspace.store.pool()
        items = sorted(item.id for state in (LABELED, UNLABELED) for item in pool.in_state(state))
        options = self.options
        files = (hash_of(path) for path in (options.predictions, options.embeddings, options.coco))
        return sha256_of_text(*files, self.context.config.options_of("task").model_dump_json(), *items)

    def learn(self, cycle: int, inputs: str, examples: Examples) -> Learned:
        """Read and keep the predictions."""
        options = self.options
        assert options.predictions is not None  # ``check`` has looked
        sources = Sources(options.predictions, options.embeddings, options.coco)
        return keep_predictions(self.context, cycle, inputs, examples, sources, "predictions")

    def load(self, record: StepRecord[Training]) -> GivenPredictions:
        """The predictions that a cycle has kept."""
        return load_predictions(self.context, record, self.options.embeddings)

    def signal_names(self, training: Training) -> frozenset[str]:
        """What the files give."""
        from alcli.learners._given import signals_of

        return signals_of(training)


def keep_predictions(
    context: Context, cycle: int, inputs: str, examples: Examples, sources: Sources, learner: str
) -> Learned:
    """Keep the predictions of a file in the cycle's folder, and say what is missing or too much.

    Raises:
        DataError: the file cannot be used.
    """
    from alcli.learners._given import TRUNK, GivenPredictions

    path = context.workspace.cycle_folder(cycle) / FILE_NAME
    context.workspace.store.drop_step(cycle, Training.step)
    collected = collect(context, sources.predictions, sources.coco, _rules(context, examples), path)
    unjudged = [example.item.name for example in examples.held_out if example.item.id not in collected.survey]
    if unjudged:
        count, first = quantity(len(unjudged), "held-out image"), names_in_words(unjudged, len(unjudged))
        context.progress.say(f"No prediction for {count} ({first}): not evaluated.")
    classes = tuple(examples.classes) or tuple(collected.survey.classes)
    if not classes:
        raise DataError(NO_CLASSES, do="Name them: --set task.classes=cat,dog")
    embeddings = read_vectors(context, sources.embeddings)
    summary = Training(
        trained_on=len(examples.training),
        held_out=len(examples.held_out),
        model=learner,
        classes=classes,
        validation=context.config.train.validation,
        started_from=learner,
        learner=learner,
        predicted=collected.survey.images,
    )
    task = make_task(context.config, classes)
    record = StepRecord(cycle, inputs, path, None, summary, "")
    predictor = GivenPredictions(context, task, record, path, embeddings)
    names = _signals(context, predictor, collected, embeddings)
    collected.say(context, embeddings is not None or TRUNK in names)
    summary = replace(summary, signals=tuple(sorted(names)))
    predictor.record = StepRecord(cycle, inputs, path, None, summary, "")
    return Learned(summary, path, predictor)


def load_predictions(context: Context, record: StepRecord[Training], embeddings: Path | None) -> GivenPredictions:
    """The predictions that a cycle has kept; raises WorkspaceDamaged if they are not what was written."""
    from alcli.learners._given import GivenPredictions

    path = context.workspace.verify_file(record)
    task = make_task(context.config, record.summary.classes)
    return GivenPredictions(context, task, record, path, read_vectors(context, embeddings))


def read_vectors(context: Context, path: Path | None) -> dict[str, np.ndarray] | None:
    """Embeddings of the project's images, by item id; raises DataError for a file that cannot be used."""
    if path is None:
        return None
    names = PoolNames(context.workspace.store.pool().items.values())
    vectors: dict[str, np.ndarray] = {}
    for entry in read_embeddings(path):
        if isinstance(entry, Problem):
            raise DataError(f"{entry.in_words()}.", do="Correct the file of embeddings.")
        ids = names.find(entry.name)
        if len(ids) == 1 and entry.embedding is not None:
            vectors[ids[0]] = entry.embedding
    if not vectors:
        raise DataError(
            f"No name in {path} is that of an image of the project.", do="Names are paths below the images."
        )
    return vectors


def _rules(context: Context, examples: Examples) -> Rules:
    task = context.config.options_of("task")
    return Rules(tuple(examples.classes), bool(getattr(task, "multi_label", False)), task.name == "pose")


def _signals(
    context: Context, predictor: GivenPredictions, collected: Collected, embeddings: dict[str, np.ndarray] | None
) -> set[str]:
    """The signals that most images have; embeddings of the pretrained network where the files have none."""
    from alcli.artifacts.starting_weights import has_pretrained
    from alcli.learners._given import EMBEDDING, TRUNK, derived_signals

    counts: dict[str, int] = {}
    for count, sample in collected.keys.values():
        own = {*derived_signals(predictor.task, sample), *sample.signals}
        for name in own | ({EMBEDDING} if sample.embedding is not None else set()):
            counts[name] = counts.get(name, 0) + count
    names = {name for name, count in counts.items() if 2 * count > collected.survey.images}
    if embeddings is not None:
        names.add(EMBEDDING)
    if EMBEDDING not in names and has_pretrained(context):
        names.add(TRUNK)
    return names
