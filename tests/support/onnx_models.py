"""Small ONNX files with known answers, in the layouts of exported detectors and classifiers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

NAMES = ("red", "green", "blue")
ULTRALYTICS = {"task": "detect", "imgsz": "[64, 64]", "names": str(dict(enumerate(NAMES))), "stride": "32"}
BRIGHTNESS = [
    helper.make_node("ReduceMean", ["images"], ["mean"], keepdims=0),
    helper.make_node("Mul", ["values", "mean"], ["scores"]),
]
"""Scores are ``values`` times the mean of the input, so that they tell images apart."""


def save(
    path: Path,
    nodes: Sequence[Any],
    outputs: Mapping[str, int],
    arrays: Mapping[str, Any],
    shape: Sequence[int | str] = (1, 3, 64, 64),
    facts: Mapping[str, str] | None = None,
    kind: int = TensorProto.FLOAT,
) -> Path:
    """Write a model with one input, ``images``; ``arrays`` are its constants."""
    constants = [numpy_helper.from_array(np.asarray(array), name) for name, array in arrays.items()]
    described = [helper.make_tensor_value_info(name, one, None) for name, one in outputs.items()]
    graph = helper.make_graph(
        list(nodes), "g", [helper.make_tensor_value_info("images", kind, shape)], described, constants
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    helper.set_model_props(model, dict(facts or {}))
    onnx.save(model, str(path))
    return path


def raw(
    path: Path,
    boxes: Sequence[Sequence[float]],
    scores: Sequence[Sequence[float]],
    facts: Mapping[str, str] = ULTRALYTICS,
    shape: Sequence[int | str] = (1, 3, 64, 64),
) -> Path:
    """(1, 4 + classes, k) as of Ultralytics v8: boxes (k, 4) center and size, scores (k, classes) times the mean."""
    count = max(len(boxes), 84)  # padded with empty boxes to as many anchors as 64 pixels have
    table = np.zeros((1, 4, count), np.float32)
    values = np.zeros((1, len(scores[0]), count), np.float32)
    table[0, :, : len(boxes)] = np.array(boxes, np.float32).T
    values[0, :, : len(boxes)] = np.array(scores, np.float32).T
    nodes = [*BRIGHTNESS, helper.make_node("Concat", ["boxes", "scores"], ["output0"], axis=1)]
    return save(path, nodes, {"output0": TensorProto.FLOAT}, {"boxes": table, "values": values}, shape, facts)


def constant(path: Path, arrays: Mapping[str, np.ndarray], **more: Any) -> Path:
    """A model that gives these arrays, whatever the image: 0 times its mean is added to the first."""
    first, *others = arrays
    constants = {f"the_{name}": array for name, array in arrays.items()} | {"zero": np.float32(0)}
    nodes = [
        helper.make_node("Cast", ["images"], ["numbers"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["numbers"], ["mean"], keepdims=0),
        helper.make_node("Mul", ["mean", "zero"], ["nothing"]),
        helper.make_node("Add", [f"the_{first}", "nothing"], [first]),
        *(helper.make_node("Identity", [f"the_{name}"], [name]) for name in others),
    ]
    kinds = {name: helper.np_dtype_to_tensor_dtype(array.dtype) for name, array in arrays.items()}
    return save(path, nodes, kinds, constants, **more)


def classifier(path: Path, facts: Mapping[str, str] | None = None, shape: Sequence[int | str] = (1, 3, 32, 32)) -> Path:
    """(1, 3): the mean of each channel as a logit."""
    nodes = [helper.make_node("ReduceMean", ["images"], ["logits"], axes=[2, 3], keepdims=0)]
    return save(path, nodes, {"logits": TensorProto.FLOAT}, {}, shape, facts)
