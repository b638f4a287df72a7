"""Rank with a model that was exported to ONNX: it looks at the images in ONNX Runtime; training is skipped."""

from __future__ import annotations

import importlib.util
import io
import json
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from alcli import images
from alcli.artifacts.examples import Examples
from alcli.artifacts.inspection import check_reachable, inspect_images
from alcli.artifacts.kept_predictions import under_id
from alcli.context import Context
from alcli.errors import DataError, Unreadable, UsageError
from alcli.items import LABELED, UNLABELED, Item, Refusal
from alcli.learners import Learned
from alcli.learners._onnx_kept import kept_answers, note_images
from alcli.learners._onnx_options import OnnxOptions
from alcli.learners._predictions_options import hash_of
from alcli.learners.predictions import Sources, keep_predictions, load_predictions
from alcli.predictions.lines import Header, to_line, write_header
from alcli.system.files import atomic_write
from alcli.system.hashing import sha256_of_text
from alcli.system.interruption import postpone_signals
from alcli.workspace.records import StepRecord, Training

if TYPE_CHECKING:
    from PIL import Image

    from alcli.learners._given import GivenPredictions
    from alcli.learners._onnx_model import OnnxModel

TASKS = ("classification", "detection")
PART = "onnx.partial.jsonl"
"""The lines of the images; an interrupted cycle continues it."""


class Onnx:
    """Looks at all images with a detector or classifier in ONNX, and keeps the predictions in the cycle's folder.

    It knows the exports of Ultralytics (also with the suppression in the model), torchvision's detectors, and plain
    classifiers. Input size, class names and letterboxing come from the file, or from ``learner.…``. Metrics come from
    the held-out images, which the model must not have been trained on: `alcli list held-out` names them.
    """

    Options = OnnxOptions

    def __init__(self, context: Context) -> None:
        self.context = context

    @cached_property
    def options(self) -> OnnxOptions:
        """The settings of this learner, paths resolved."""
        options: OnnxOptions = self.context.config.options_of("learner")
        return options

    def check(self) -> None:
        """Raises UsageError without a model, for a task that it cannot have, or without the runtime."""
        path, task = self.options.weights, self.context.config.task.name
        if path is None:
            raise UsageError("The learner onnx needs an exported model.", do="Name it: --weights best.onnx")
        if not path.is_file():
            raise UsageError(f"There is no file {path}.", do="Export the model there, or correct learner.weights.")
        if task not in TASKS:
            raise UsageError(
                f"The learner onnx reads models for {' and '.join(TASKS)}, not for {task}.",
                do="Write a predictions file, and name it: --learner predictions --predictions preds.jsonl",
            )
        if importlib.util.find_spec("onnxruntime") is None:
            raise UsageError("The learner onnx needs ONNX Runtime.", do="pip install 'alcli[onnx]'")

    def can_learn(self, examples: Examples) -> bool:
        """Always: the model has learned already."""
        return True

    def inputs(self, examples: Examples) -> str:
        """The model's file, the settings, and which images there are."""
        options, config = self.options, self.context.config
        versions = sorted(f"{item.id} {item.version}" for item in self._items())
        files = (hash_of(path) for path in (options.weights, options.embeddings))
        return sha256_of_text(*files, options.model_dump_json(), config.options_of("task").model_dump_json(), *versions)

    def learn(self, cycle: int, inputs: str, examples: Examples) -> Learned:
        """Look at every image, and keep the predictions.

        Raises:
            DataError: the model cannot be used, or its classes are not the project's.
        """
        path = self.context.workspace.cycle_folder(cycle) / PART
        path.parent.mkdir(parents=True, exist_ok=True)
        refusals = self._look(path, inputs, cycle)
        learned = keep_predictions(
            self.context, cycle, inputs, examples, Sources(path, self.options.embeddings), "onnx"
        )
        note_images(self.context, cycle, self._model_key())
        path.unlink()
        return replace(learned, problems=refusals)

    def load(self, record: StepRecord[Training]) -> GivenPredictions:
        """The predictions that a cycle has kept."""
        return load_predictions(self.context, record, self.options.embeddings)

    def signal_names(self, training: Training) -> frozenset[str]:
        """What the model's answers give."""
        from alcli.learners._given import signals_of

        return signals_of(training)

    def _items(self) -> list[Item]:
        pool = self.context.workspace.store.pool()
        return [*pool.in_state(UNLABELED), *pool.in_state(LABELED)]

    def _load_model(self) -> OnnxModel:
        from alcli.learners._onnx_model import OnnxModel

        assert self.options.weights is not None  # ``check`` has looked
        task = self.context.config.options_of("task")
        # A signal in the middle of importing the runtime would end as an error of the import.
        with postpone_signals() as stop:
            several = bool(getattr(task, "multi_label", False))
            model = OnnxModel(self.options.weights, self.options, task.name, several)
            stop.obey()
        return model

    def _model_key(self) -> str:
        """A hash that changes whenever the answer for an unchanged image may change."""
        options, task = self.options, self.context.config.options_of("task")
        own = options.model_dump_json(exclude={"weights", "embeddings"})
        return sha256_of_text(hash_of(options.weights), own, task.model_dump_json())

    def _look(self, path: Path, inputs: str, cycle: int) -> list[Refusal]:
        """Write a line for every image, without looking again at those of an interrupted run or of the last cycle.

        Returns what cannot be read.
        """
        model = self._load_model()
        header = Header(model.classes)
        items = self._items()
        done = _resume(path, header, inputs)
        rest = [item for item in items if _path_of(item) not in done]
        # Decoded there in a process of its own first: a file that crashes a decoder must not take the run with it.
        paths, facts, refusals = inspect_images(self.context, rest)
        check_reachable(items, refusals)
        with path.open("a", encoding="utf-8") as stream:
            for item, answer in kept_answers(self.context, cycle, self._model_key(), rest, facts):
                stream.write(to_line(under_id(answer, _path_of(item)), header.classes) + "\n")
                done.add(_path_of(item))
        todo = [item for item in rest if _path_of(item) not in done]
        start = len(items) - len(todo)
        with (
            self.context.progress.track("Predicting", len(items), start=start) as advance,
            path.open("a", encoding="utf-8") as stream,
        ):
            for item in todo:
                picture = _load(item, paths[item.id]) if item.id in facts else None
                if isinstance(picture, Refusal):
                    refusals.append(picture)
                elif picture is not None:
                    stream.write(to_line(model.predict(picture, _path_of(item)), header.classes) + "\n")
                advance(1)
        return refusals


def _load(item: Item, path: Path) -> Image.Image | Refusal:
    try:
        return images.load(path)
    except DataError as error:
        return Refusal(item.id, item.name, error.what, item.version, isinstance(error, Unreadable))


def _resume(path: Path, header: Header, inputs: str) -> set[str]:
    """The images that an interrupted run with the same inputs has looked at; without one, a new file with a header."""
    stream = io.StringIO()
    write_header(stream, header, inputs)
    first = stream.getvalue()
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.is_file() else []
    whole = [line for line in lines[1:] if line.endswith("\n")] if lines[:1] == [first] else []
    with atomic_write(path) as out:
        out.writelines([first, *whole])
    return {json.loads(line)["name"] for line in whole}


def _path_of(item: Item) -> str:
    return f"{item.folder}/{item.name}" if item.folder else item.name
