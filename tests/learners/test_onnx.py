"""The learner `onnx`: boxes and probabilities of exported models, and files that are none."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from PIL import Image

from alcli.errors import DataError
from alcli.learners._onnx_model import OnnxModel
from alcli.learners._onnx_options import OnnxOptions
from alcli.learners._onnx_pixels import MARGIN, place
from tests.cycle.test_task_cycles import project
from tests.learners.test_predictions import SET, ranking
from tests.support import onnx_models
from tests.support.onnx_models import NAMES, ULTRALYTICS

GRAY = Image.new("RGB", (96, 80), (128, 128, 128))
BRIGHT = 128 / 255
LETTERBOXED = (53 * 96 * 2 / 3 * 128 + 11 * 64 * 114) / (64 * 64 * 255)
"""The mean of ``GRAY`` in 64×64 pixels: 53 rows of it, between gray ones."""


def model(path: Path, task: str = "detection", several: bool = False, **options: object) -> OnnxModel:
    return OnnxModel(path, OnnxOptions(**options), task, several)


def test_a_letterboxed_image_has_its_proportions_and_boxes_come_back_to_it():
    picture = Image.fromarray(np.arange(96 * 80 * 3, dtype=np.uint8).reshape(80, 96, 3))
    pixels, placement = place(picture, (64, 64), "letterbox")
    # 96×80 at 2/3: 64×53, between 5 rows above and 6 below.
    assert pixels.shape == (64, 64, 3) and placement.offset == (0, 5)
    assert (
        (pixels[:5] == MARGIN).all()
        and (pixels[58:] == MARGIN).all()
        and (pixels[5:58] != MARGIN).any(axis=2).all(0).any()
    )
    corners = placement.to_image(np.array([[0, 5, 64, 58], [16, 31.5, 32, 58], [-9, -9, 70, 70]], dtype=np.float64))
    assert corners.tolist() == [[0, 0, 96, 80], pytest.approx([24, 40, 48, 80]), [0, 0, 96, 80]]


def test_resizing_takes_the_four_nearest_pixels():
    picture = Image.fromarray(np.array([[[0] * 3, [100] * 3, [200] * 3, [40] * 3]] * 4, dtype=np.uint8))
    pixels, _ = place(picture, (2, 2), "letterbox")
    assert pixels[:, :, 0].tolist() == [[50, 120], [50, 120]]  # means of two; nothing further away counts
    larger, _ = place(picture, (8, 8), "letterbox")
    assert larger[0, :, 0].tolist() == [0, 25, 75, 125, 175, 160, 80, 40]


def test_the_raw_layout_is_suppressed_and_keeps_probabilities_and_support(tmp_path):
    boxes = [[32, 31.5, 16, 26.5], [33, 31.5, 16, 26.5], [10, 20, 8, 8], [32, 31.5, 16, 26.5]]
    scores = [[0.8, 0.3, 0], [0.6, 0, 0], [0, 0.01, 0.04], [0.1, 1.2, 1.2]]
    path = onnx_models.raw(tmp_path / "m.onnx", boxes, scores)
    answer = model(path).predict(GRAY, "a.jpg")
    kept = answer.boxes
    assert answer.classes == NAMES and answer.size == (96, 80) and kept is not None
    # The second is suppressed by the first; the third is below the threshold; the last is of another class.
    assert list(kept.labels) == ["green", "red"]
    assert kept.scores.tolist() == pytest.approx([1.2 * LETTERBOXED, 0.8 * LETTERBOXED], abs=2e-5)
    # x: 24 to 40 of 64 → 36 to 60 of 96; y: (31.5 ∓ 13.25 − 5) of 53 → of 80.
    assert kept.corners[1].tolist() == pytest.approx([36, 20, 60, 60], abs=1e-3)
    assert kept.support.tolist() == [0, 1]
    assert kept.probabilities[1].tolist() == pytest.approx([0.8 * LETTERBOXED, 0.3 * LETTERBOXED, 0], abs=2e-5)
    # Scores of their own per class that sum to more than 1 are scaled to it.
    assert kept.probabilities[0].tolist() == pytest.approx([0.1 / 2.5, 1.2 / 2.5, 1.2 / 2.5], abs=2e-5)


def test_the_layouts_of_other_exports_give_the_same_boxes(tmp_path):
    corners, scores = [[24, 18.25, 40, 44.75], [0, 5, 32, 31.5]], [0.9, 0.4]
    final = np.zeros((1, 300, 6), np.float32)
    final[0, :2] = [[*corners[0], scores[0], 2], [*corners[1], scores[1], 0]]
    middles = np.zeros((1, 84, 8), np.float32)
    middles[0, :2] = [[32, 31.5, 16, 26.5, 0.9, 0, 0, 1], [16, 18.25, 32, 26.5, 0.5, 0.8, 0, 0]]
    lists = {"b": np.array(corners, np.float32), "l": np.array([3, 1]), "s": np.array(scores, np.float32)}
    swapped = {name: lists[name] for name in ("s", "b", "l")}
    paths = [
        onnx_models.constant(tmp_path / "final.onnx", {"output0": final}, facts=ULTRALYTICS),
        onnx_models.constant(tmp_path / "v5.onnx", {"output0": middles}, facts={"names": json.dumps(NAMES)}),
        onnx_models.constant(tmp_path / "lists.onnx", lists, facts={"names": json.dumps(NAMES)}, shape=(3, 64, 64)),
        onnx_models.constant(tmp_path / "swapped.onnx", swapped, facts={"names": str(["__background__", *NAMES])}),
        onnx_models.constant(tmp_path / "half.onnx", {"output0": final.astype(np.float32)}, facts=ULTRALYTICS,
                             kind=TensorProto.FLOAT16),
        onnx_models.constant(tmp_path / "last.onnx", {"output0": final}, facts=ULTRALYTICS, shape=(1, 64, 64, 3),
                             kind=TensorProto.UINT8),
    ]  # fmt: skip
    for path in paths:
        boxes = model(path).predict(GRAY, "a.jpg").boxes
        assert boxes is not None and list(boxes.labels) == ["blue", "red"], path
        assert boxes.scores.tolist() == pytest.approx([0.9, 0.4], abs=1e-5), path
        assert boxes.corners.tolist() == [pytest.approx([36, 20, 60, 60]), pytest.approx([0, 0, 48, 40])], path


def test_a_model_for_any_size_sees_the_image_as_it_is_and_no_box_is_no_box(tmp_path):
    lists = {"b": np.array([[1, 2, 30, 40]], np.float32), "l": np.array([1]), "s": np.array([0.7], np.float32)}
    path = onnx_models.constant(tmp_path / "any.onnx", lists, shape=(3, "height", "width"))
    boxes = model(path, classes="red").predict(GRAY, "a.jpg").boxes
    assert boxes is not None and boxes.corners.tolist() == [[1, 2, 30, 40]]
    assert model(path, classes="red", input_size=64).predict(GRAY, "a").boxes.corners[0, 0] == pytest.approx(1.5)
    empty = {"b": np.zeros((0, 4), np.float32), "l": np.zeros(0, np.int64), "s": np.zeros(0, np.float32)}
    path = onnx_models.constant(tmp_path / "empty.onnx", empty, shape=(3, "height", "width"))
    assert len(model(path, classes="red").predict(GRAY, "a.jpg").boxes.labels) == 0


def test_logits_become_probabilities_and_pixels_are_prepared_as_the_file_says(tmp_path):
    picture = Image.new("RGB", (40, 30), (255, 0, 51))
    own = onnx_models.classifier(tmp_path / "u.onnx", {"task": "classify", "names": str(dict(enumerate(NAMES)))})
    values = model(own, "classification").predict(picture, "a").probabilities
    assert values.tolist() == pytest.approx(np.exp([1, 0, 0.2]) / np.exp([1, 0, 0.2]).sum(), abs=1e-6)
    plain = onnx_models.classifier(tmp_path / "p.onnx")
    logits = (np.array([1, 0, 0.2]) - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225)
    values = model(plain, "classification", classes="red,green,blue").predict(picture, "a").probabilities
    assert values.tolist() == pytest.approx(np.exp(logits) / np.exp(logits).sum(), abs=1e-6)
    values = model(plain, "classification", True, classes="a,b,c").predict(picture, "a").probabilities
    assert values.tolist() == pytest.approx(1 / (1 + np.exp(-logits)), abs=1e-6)
    ready = {"output0": np.array([[0.7, 0.2, 0.1]], np.float32)}
    path = onnx_models.constant(tmp_path / "r.onnx", ready, facts={"names": str(NAMES)})
    assert model(path, "classification").predict(picture, "a").probabilities.tolist() == pytest.approx([0.7, 0.2, 0.1])


def three(path: Path, **facts: str) -> Path:
    return onnx_models.raw(path, [[32, 32, 16, 16]], [[0.9, 0.1, 0]], {**ULTRALYTICS, **facts})


def unknown(path: Path) -> Path:
    return onnx_models.constant(path, {"maps": np.zeros((1, 3, 8, 8), np.float32)}, facts=ULTRALYTICS)


def without_names(path: Path) -> Path:
    return onnx_models.raw(path, [[32, 32, 16, 16]], [[0.9, 0.1, 0]], {"imgsz": "64"})


def text(path: Path) -> Path:
    path.write_text("no model")
    return path


def of_two_inputs(path: Path) -> Path:
    nodes = [helper.make_node("ReduceMean", ["images"], ["mean"])]
    return onnx_models.save(path, nodes, {"mean": TensorProto.FLOAT}, {}, (1, 9, 64, 64))


def not_finite(path: Path) -> Path:
    return onnx_models.constant(path, {"o": np.full((1, 300, 6), np.nan, np.float32)}, facts=ULTRALYTICS)


def of_a_library(path: Path) -> Path:
    """An operator that only a library of somebody's own would have."""
    node = helper.make_node("Run", ["images"], ["output0"], domain="somebody")
    return onnx_models.save(path, [node], {"output0": TensorProto.FLOAT}, {}, facts=ULTRALYTICS)


def of_a_file_outside(path: Path) -> Path:
    """Weights that lie in a file outside the model's folder."""
    (path.parent.parent / "private").write_bytes(bytes(7200))
    content = onnx.load(
        str(onnx_models.constant(path, {"output0": np.zeros((1, 300, 6), np.float32)}, facts=ULTRALYTICS))
    )
    weights = content.graph.initializer[0]
    weights.ClearField("raw_data")
    weights.data_location = TensorProto.EXTERNAL
    weights.external_data.add(key="location", value="../private")
    path.write_bytes(content.SerializeToString())
    return path


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: three(path, task="segment"), "is a model for segmentation; the task"),
        (lambda path: three(path, task="pose"), "is a model for pose; the task"),
        (onnx_models.classifier, "is a model for classification; the task of this workspace is detection"),
        (unknown, "no layout that alcli knows: maps 1×3×8×8"),
        (without_names, "does not name its 3 classes."),
        (lambda path: three(path, names="{0: 'red', 1: 'blue'}"), "has 3 classes, but its notes name 2: red, blue"),
        (lambda path: three(path, names="['red', 'red', 'blue']"), "names a class twice"),
        (lambda path: three(path, names="{0: 'cat', 1: 'dog', 2: 'cow'}"), "are of other classes: cat"),
        (of_a_library, "cannot be loaded as an ONNX model"),
        (of_a_file_outside, "cannot be loaded as an ONNX model"),
        (text, "cannot be loaded as an ONNX model"),
        (of_two_inputs, "does not take one image in color: its inputs are images 1×9×64×64"),
        (not_finite, "outputs are not finite"),
    ],
)  # fmt: skip
def test_a_model_that_cannot_be_used_is_one_clear_message(photos, alcli, tmp_path, make, words):
    where = ("--images", photos.images, "--annotations", photos.annotations)
    path = make(tmp_path / "best.onnx")
    assert alcli("init", tmp_path / "W", *where, "--learner", "onnx", "--weights", path, *SET)[0] == 0
    code, _, err = alcli("cycle", "-w", tmp_path / "W", "--strategy", "entropy")
    assert code == 5 and words in " ".join(err.split()), err
    assert len(err.strip().splitlines()) <= 4 and not (tmp_path / "W/cycles/0001/priorities.csv").exists()


def test_what_is_missing_is_a_usage_error(photos, alcli, tmp_path, monkeypatch):
    where = ("--images", photos.images, "--annotations", photos.annotations)
    assert alcli("init", tmp_path / "N", *where, "--learner", "onnx")[0] == 0
    code, _, err = alcli("cycle", "-w", tmp_path / "N")
    assert code == 2 and "--weights best.onnx" in err
    assert alcli("init", tmp_path / "G", *where, "--learner", "onnx", "--weights", tmp_path / "none.onnx")[0] == 0
    code, _, err = alcli("cycle", "-w", tmp_path / "G")
    assert code == 2 and "There is no file" in err
    path = three(tmp_path / "best.onnx")
    images, masks = project(tmp_path / "pose", "pose")
    flags = ("--task", "pose", "--images", images, "--annotations", masks, "--learner", "onnx", "--weights", path)
    assert alcli("init", tmp_path / "P", *flags)[0] == 0
    code, _, err = alcli("cycle", "-w", tmp_path / "P")
    assert code == 2 and "not for pose" in err and "--learner predictions" in err
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert alcli("init", tmp_path / "R", *where, "--learner", "onnx", "--weights", path)[0] == 0
    code, _, err = alcli("cycle", "-w", tmp_path / "R")
    assert code == 2 and "pip install 'alcli[onnx]'" in err


def test_a_detector_ranks_the_pool_and_a_new_file_makes_a_new_cycle(photos, alcli, tmp_path):
    where = ("--images", photos.images, "--annotations", photos.annotations, "--budget", 2)
    path = onnx_models.raw(tmp_path / "best.onnx", [[32, 32, 16, 16]], [[1.6, 0.1, 0]])
    flags = (
        "--learner",
        "onnx",
        "--weights",
        path,
        *SET,
        "--set",
        "train.validation=0.8",
        "--set",
        "strategy.name=entropy",
    )
    code, out, err = alcli("init", tmp_path / "W", *where, *flags)
    assert code == 0 and f"ONNX model {path}" in out, err
    code, out, err = alcli("cycle", "-w", tmp_path / "W")
    assert code == 0 and "Cycle 1: predictions of 12 images by the learner onnx (mAP" in out, err
    lines = (tmp_path / "W/cycles/0001/predictions.jsonl").read_text().splitlines()
    scores = {}
    for line in lines[1:]:
        content = json.loads(line)
        (score,) = content["scores"]
        scores[content["name"]] = score
        assert content["boxes"] == [pytest.approx([36, 28.679, 60, 52.83], abs=1e-3)] and content["labels"] == ["red"]
    # Pixels are those of the image: its own mean between the gray margins.
    name = photos.name(9)
    pixels = np.asarray(Image.open(photos.images / name).convert("RGB"), dtype=np.float64)
    expected = 1.6 * (53 * 64 * pixels.mean() + 11 * 64 * 114) / (64 * 64 * 255)
    assert next(scores[item] for item in scores if name in item) == pytest.approx(expected, abs=2e-3)
    # One box per image, of one class or the background: the nearest to one half is the most doubtful.
    doubts = {photos.name(number): abs(scores[item] - 0.5) for number in range(8, 12)
              for item in scores if photos.name(number) in item}  # fmt: skip
    assert ranking(tmp_path / "W") == sorted(doubts, key=lambda item: doubts[item])
    assert not list((tmp_path / "W/cycles/0001").glob("*.partial.jsonl"))
    assert alcli("cycle", "-w", tmp_path / "W")[1].startswith("Nothing new")
    onnx_models.raw(path, [[32, 32, 16, 16]], [[0.2, 1.1, 0]])
    code, out, err = alcli("cycle", "-w", tmp_path / "W", "--json")
    assert code == 0 and json.loads(out)["cycle"] == 2, err


def test_an_interrupted_look_continues_where_it_was(photos, alcli, tmp_path, monkeypatch):
    where = ("--images", photos.images, "--annotations", photos.annotations, "--budget", 2)
    path = three(tmp_path / "best.onnx")
    names, wanted = [], OnnxModel.predict

    def predict(self, image, name):
        if len(names) == 5:
            raise DataError("killed")
        names.append(name)
        return wanted(self, image, name)

    for root in (tmp_path / "W", tmp_path / "calm"):
        assert alcli("init", root, *where, "--learner", "onnx", "--weights", path, *SET)[0] == 0
    monkeypatch.setattr(OnnxModel, "predict", predict)
    assert alcli("cycle", "-w", tmp_path / "W", "--strategy", "entropy")[0] == 5
    with (tmp_path / "W/cycles/0001/onnx.partial.jsonl").open("a") as stream:
        stream.write('{"name": "half')
    first, names[:] = list(names), []
    monkeypatch.setattr(OnnxModel, "predict", lambda self, image, name: names.append(name) or wanted(self, image, name))
    assert alcli("cycle", "-w", tmp_path / "W", "--strategy", "entropy")[0] == 0
    assert len(first) == 5 and len(names) == 7 and not set(first) & set(names)
    assert alcli("cycle", "-w", tmp_path / "calm", "--strategy", "entropy")[0] == 0
    files = [(root / "cycles/0001/predictions.jsonl").read_bytes() for root in (tmp_path / "W", tmp_path / "calm")]
    assert files[0] == files[1]


def test_the_next_cycle_looks_only_at_what_is_new_or_has_changed(photos, alcli, tmp_path, monkeypatch):
    where = ("--images", photos.images, "--annotations", photos.annotations, "--budget", 2)
    path = three(tmp_path / "best.onnx")
    names, wanted = [], OnnxModel.predict
    monkeypatch.setattr(OnnxModel, "predict", lambda self, image, name: names.append(name) or wanted(self, image, name))
    assert alcli("init", tmp_path / "W", *where, "--learner", "onnx", "--weights", path, *SET)[0] == 0
    assert alcli("cycle", "-w", tmp_path / "W", "--strategy", "entropy")[0] == 0
    assert len(names) == 12
    names.clear()
    photos.annotate(9)
    new = _new_photo(photos)
    changed = photos.images / photos.name(10)
    Image.open(changed).convert("L").save(changed)
    assert alcli("cycle", "-w", tmp_path / "W", "--strategy", "entropy")[0] == 0
    assert sorted(names) == sorted([new, photos.name(10)])
    # The file is the one that a first look writes.
    assert alcli("init", tmp_path / "fresh", *where, "--learner", "onnx", "--weights", path, *SET)[0] == 0
    assert alcli("cycle", "-w", tmp_path / "fresh", "--strategy", "entropy")[0] == 0
    kept, fresh = tmp_path / "W/cycles/0002/predictions.jsonl", tmp_path / "fresh/cycles/0001/predictions.jsonl"
    assert sorted(kept.read_text().splitlines()) == sorted(fresh.read_text().splitlines())
    # Another setting of the model is another answer.
    names.clear()
    photos.annotate(8)
    flags = ("--strategy", "entropy", "--set", "learner.resize=stretch")
    assert alcli("cycle", "-w", tmp_path / "W", *flags)[0] == 0
    assert len(names) == 13


def _new_photo(photos) -> str:
    name = "new.png"
    Image.open(photos.images / photos.name(11)).rotate(180).save(photos.images / name)
    return name


def test_a_classifier_ranks_by_its_doubts(alcli, tmp_path):
    images, labels = project(tmp_path / "project", "class-folders")
    names = sorted(path.name for path in labels.iterdir() if path.is_dir())
    path = onnx_models.classifier(tmp_path / "c.onnx", {"names": json.dumps([*names, "x", "y"][:3])})
    flags = ("--task", "classification", "--images", images, "--annotations", labels, "--budget", 2)
    assert alcli("init", tmp_path / "W", *flags, "--learner", "onnx", "--weights", path, *SET)[0] == 0
    code, out, err = alcli("cycle", "-w", tmp_path / "W", "--strategy", "margin")
    assert code == 0 and "top-1" in out, err
    assert len(ranking(tmp_path / "W")) > 2
