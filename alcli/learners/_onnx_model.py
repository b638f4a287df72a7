"""An exported model in ONNX Runtime: its file, its input, the names of its classes, and what it sees on an image."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from alcli.errors import DataError
from alcli.learners import _onnx_outputs as layouts
from alcli.learners._onnx_options import BYTES, CROP, IMAGENET, LETTERBOX, NONE, UNIT, OnnxOptions
from alcli.learners._onnx_pixels import normalise, place
from alcli.predictions import Boxes, ImagePrediction
from alcli.system.text import quantity

TASKS = {"detect": "detection", "classify": "classification", "segment": "segmentation"}
"""Ultralytics' words for the tasks of alcli."""
DTYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(uint8)": np.uint8}
DIGITS = 5
GRAY = 114
LETTERS = 200
"""Of an error of the runtime that are shown."""


@dataclass(frozen=True)
class Input:
    """A model's only input.

    Attributes:
        channels_last: (…, height, width, 3) instead of (…, 3, height, width). batched: with an axis for images.
        size_wh: None where any size fits.
    """

    name: str
    dtype: np.dtype
    channels_last: bool
    batched: bool
    size_wh: tuple[int, int] | None


class OnnxModel:
    """An exported model, tried once on an empty image, so that what does not fit is known before the first one.

    Attributes:
        classes: the names of its classes, in its own order.
    """

    def __init__(self, path: Path, options: OnnxOptions, task: str, several_labels: bool = False) -> None:
        """Load a model.

        Raises:
            DataError: no ONNX model, one of another task, of an unknown layout, or without names of its classes.
        """
        self._path, self._options, self._several = path, options, several_labels
        self._session = _open(path)
        self._facts: Mapping[str, str] = dict(self._session.get_modelmeta().custom_metadata_map)
        self._check_task(_task_of(self._facts), task)
        self._input = _input(path, self._session.get_inputs(), self._size())
        names = list(options.classes) or _names(self._facts)
        gray = Image.new("RGB", self._input.size_wh or (320, 320), (GRAY,) * 3)
        # Not knowing yet whether it classifies matters to no layout.
        outputs = self._run(normalise(np.asarray(gray), UNIT, self._input.dtype))
        self._layout = layouts.layout_of(outputs, len(names))
        if not self._layout:
            raise self._unknown(outputs)
        self._check_task("classification" if self._layout == layouts.SCORES else "detection", task)
        self.classes = self._check_names(names, layouts.class_count(self._layout, outputs))
        self._resize, self._pixels = self._preparation()

    def predict(self, image: Image.Image, name: str) -> ImagePrediction:
        """What the model sees, in pixels of the image; raises DataError for outputs that cannot be used."""
        pixels, placement = place(image, self._input.size_wh, self._resize)
        outputs = self._run(normalise(pixels, self._pixels, self._input.dtype))
        try:
            if self._layout == layouts.SCORES:
                values = layouts.read_probabilities(outputs, self._several)
                return ImagePrediction(name, classes=self.classes, size=image.size, probabilities=values.round(8))
            limits = layouts.Limits(self._options.threshold, self._options.overlap)
            boxes = layouts.read_boxes(self._layout, outputs, self.classes, limits)
        except ValueError as error:
            raise DataError(f"{self._path} cannot be used for {name}: {error}.", do="Export it again.") from None
        boxes = _clip_boxes(boxes, placement.to_image(boxes.corners))
        return ImagePrediction(name, classes=self.classes, size=image.size, boxes=boxes)

    def _run(self, pixels: np.ndarray) -> list[np.ndarray]:
        array = pixels if self._input.channels_last else pixels.transpose(2, 0, 1)
        array = np.ascontiguousarray(array[None] if self._input.batched else array)
        try:
            return [np.asarray(output) for output in self._session.run(None, {self._input.name: array})]
        except Exception as error:  # the runtime has a class for each kind of error, and no common one
            raise DataError(
                f"{self._path} does not run on an image of {pixels.shape[1]}×{pixels.shape[0]} pixels: {_first(error)}",
                do="Set learner.input_size to the side that it was exported for, or export it again.",
            ) from None

    def _size(self) -> tuple[int, int] | None:
        """(width, height) of the input from the settings or the file's notes; None where neither says it."""
        if self._options.input_size:
            return (self._options.input_size, self._options.input_size)
        sides = _literal(self._facts.get("imgsz", ""))
        if isinstance(sides, int):
            return (sides, sides)
        return (int(sides[1]), int(sides[0])) if isinstance(sides, (list, tuple)) and len(sides) == 2 else None

    def _preparation(self) -> tuple[str, str]:
        """How images are resized, and what their pixels become."""
        plain = self._layout == layouts.SCORES and "task" not in self._facts
        fitting = CROP if self._layout == layouts.SCORES else LETTERBOX
        resize = (fitting if self._input.size_wh else NONE) if self._options.resize == "auto" else self._options.resize
        pixels = (IMAGENET if plain else UNIT) if self._options.pixels == "auto" else self._options.pixels
        return resize, BYTES if self._input.dtype == np.uint8 else pixels

    def _check_task(self, own: str, wanted: str) -> None:
        if own and own != wanted:
            raise DataError(
                f"{self._path} is a model for {own}; the task of this workspace is {wanted}.",
                do=f"Name a model for {wanted}: learner.weights, or make a workspace of the other task.",
            )

    def _check_names(self, names: Sequence[str], count: int | None) -> tuple[str, ...]:
        number = "the" if count is None else f"its {count}"
        if not names:
            raise DataError(
                f"{self._path} does not name {number} classes.",
                do="Name them in the model's order: --set learner.classes=cat,dog",
            )
        if count is not None and count != len(names):
            source = "learner.classes names" if self._options.classes else "its notes name"
            raise DataError(
                f"{self._path} has {quantity(count, 'class')}, but {source} {len(names)}: {', '.join(names[:10])}.",
                do="Name all of them, in the model's order: --set learner.classes=cat,dog",
            )
        if len(set(names)) < len(names):
            raise DataError(f"{self._path} names a class twice.", do="Name them apart: --set learner.classes=cat,dog")
        return tuple(names)

    def _unknown(self, outputs: Sequence[np.ndarray]) -> DataError:
        named = zip(self._session.get_outputs(), outputs, strict=True)
        listed = ", ".join(f"{one.name} {'×'.join(map(str, array.shape))}" for one, array in named)
        return DataError(
            f"The outputs of {self._path} have no layout that alcli knows: {listed}.",
            do="Known are exports of Ultralytics, torchvision's detectors and plain classifiers. For others, write a"
            " predictions file: --learner predictions.",
        )


def _open(path: Path) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # errors are raised anyway
    there = onnxruntime.get_available_providers()
    providers = [name for name in ("CUDAExecutionProvider", "CPUExecutionProvider") if name in there]
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=providers)
    except Exception as error:  # the runtime has a class for each kind of error, and no common one
        raise DataError(f"{path} cannot be loaded as an ONNX model: {_first(error)}", do="Export it again.") from None


def _first(error: Exception) -> str:
    """The beginning of a message of the runtime, on one line."""
    text = " ".join(str(error).split())
    return text if len(text) <= LETTERS else text[:LETTERS] + " …"


def _input(path: Path, inputs: Sequence[Any], wanted: tuple[int, int] | None) -> Input:
    """The description of the only input; raises DataError if it is no image in color."""
    shapes = [f"{one.name} {'×'.join(map(str, one.shape))} {one.type}" for one in inputs]
    shape = list(inputs[0].shape) if len(inputs) == 1 else []
    sides = shape[1:] if len(shape) == 4 else shape
    last = len(sides) == 3 and sides[2] == 3 and sides[0] != 3
    if len(sides) != 3 or inputs[0].type not in DTYPES or (sides[0] != 3 and not last and isinstance(sides[0], int)):
        raise DataError(
            f"{path} does not take one image in color: its inputs are {', '.join(shapes)}.",
            do="Export a model whose only input is 1×3×height×width.",
        )
    if len(shape) == 4 and isinstance(shape[0], int) and shape[0] != 1:
        raise DataError(f"{path} takes {shape[0]} images at once.", do="Export it for one: batch=1.")
    height, width = sides[:2] if last else sides[1:]
    fixed = (width, height) if isinstance(width, int) and isinstance(height, int) else None
    return Input(inputs[0].name, np.dtype(DTYPES[inputs[0].type]), last, len(shape) == 4, fixed or wanted)


def _task_of(facts: Mapping[str, str]) -> str:
    """The task in a file's notes, in alcli's words where it has one; empty without any."""
    word = facts.get("task", "")
    return TASKS.get(word, word)


def _names(facts: Mapping[str, str]) -> list[str]:
    """The names of classes in a file's notes, in their order; empty without any."""
    for key in ("names", "classes", "labels"):
        content = _literal(facts.get(key, ""))
        if isinstance(content, dict):
            content = [content[number] for number in sorted(content, key=int)]
        if isinstance(content, (list, tuple)) and content:
            return [str(name) for name in content]
    return []


def _literal(text: str) -> Any:
    """The value of JSON, or of a Python literal, as Ultralytics writes it; None for anything else."""
    for read in (json.loads, ast.literal_eval):
        try:
            return read(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
    return None


def _clip_boxes(boxes: Boxes, corners: np.ndarray) -> Boxes:
    """With corners in the image; what rounding or clipping leaves empty is dropped."""
    corners = corners.round(3)
    kept = np.flatnonzero((corners[:, 0] < corners[:, 2]) & (corners[:, 1] < corners[:, 3]))
    return Boxes(
        [boxes.labels[index] for index in kept.tolist()],
        corners[kept],
        boxes.scores[kept].clip(0, 1).round(DIGITS),
        None if boxes.probabilities is None else boxes.probabilities[kept].clip(0, 1).round(DIGITS),
        None if boxes.support is None else boxes.support[kept],
    )
