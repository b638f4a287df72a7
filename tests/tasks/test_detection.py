from __future__ import annotations

import contextlib
import io

import numpy as np
import pytest
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from alcli.annotations import Annotation, Box
from alcli.config import ModelOptions
from alcli.errors import DataError, UsageError
from alcli.items import ImageFacts, Item
from alcli.models import detectors
from alcli.models.tapped import pool_maps
from alcli.models.uncertainty import embedding
from alcli.signals import UNKNOWN
from alcli.tasks import Batch, Example
from alcli.tasks.detection import Detection, _class_uncertainty, _tie
from tests.support.scenes import scene

FACTS = ImageFacts("hash", 96, 80)
CLASSES = ("blue", "green", "red")


def task(**options) -> Detection:
    return Detection(Detection.Options(**options), ModelOptions(name="ssd-tiny", input_size=64), CLASSES)


def item(name: str = "x.jpg") -> Item:
    return Item(name, name, "file:///x")


def example(tmp_path, number: int, size=(96, 80)) -> Example:
    picture, boxes = scene(number, *size)
    path = tmp_path / f"{number}.png"
    picture.save(path)
    return task().encode(item(path.name), path, ImageFacts("", *size), Annotation(path.name, tuple(boxes), size))


def batch(detection: Detection, examples: list[Example], augment: str = "none") -> Batch:
    images, targets, sizes = zip(*(detection.load(example, augment) for example in examples), strict=True)
    return Batch(examples, torch.stack(images), list(targets), list(sizes))


def test_an_unknown_model_names_the_nearest():
    with pytest.raises(UsageError) as error:
        Detection(Detection.Options(), ModelOptions(name="ssd300-vgg"), ())
    assert "ssd300-vgg16" in error.value.do


def test_boxes_that_stick_out_a_little_are_clipped(tmp_path):
    found = task().encode(item(), tmp_path, FACTS, Annotation("x", (Box("red", -1.5, 0, 98, 80),)))
    assert found.annotation.boxes == (Box("red", 0, 0, 96, 80),)


@pytest.mark.parametrize(
    ("annotation", "why"),
    [
        (Annotation("x", (Box("red", -3, 0, 10, 10),)), r"reaches 3 pixels out of 96×80"),
        (Annotation("x", (Box("red", 0, 0, 10, 200),)), "reaches 120 pixels"),
        (Annotation("x", (Box("pink", 0, 0, 10, 10),)), "class 'pink' is not one of blue, green, red"),
        (Annotation("x", (), (80, 96)), r"80×96 pixels, the upright image has 96×80 \(turned by EXIF\?\)"),
        (Annotation("x", (), (960, 800)), "960×800 pixels, the upright image has 96×80$"),
    ],
)
def test_a_broken_annotation_is_refused(tmp_path, annotation, why):
    with pytest.raises(DataError, match=why):
        task().encode(item(), tmp_path, FACTS, annotation)


def test_boxes_follow_the_image_into_the_networks_square(tmp_path):
    picture, target, size = task().load(example(tmp_path, 1), "none")
    assert picture.shape == (3, 64, 64)
    assert size == (96, 80)
    own = scene(1)[1]
    expected = torch.tensor([[b.x1 / 96, b.y1 / 80, b.x2 / 96, b.y2 / 80] for b in own]) * 64
    assert torch.allclose(target["boxes"], expected)
    assert target["labels"].tolist() == [1 + CLASSES.index(b.label) for b in own]


def test_flipping_takes_the_boxes_along(tmp_path):
    seen = set()
    for seed in range(20):
        torch.manual_seed(seed)
        picture, target, _ = task().load(example(tmp_path, 3), "flip")
        x1, y1, x2, y2 = target["boxes"][-1].round().int().tolist()
        inside = picture[:, (y1 + y2) // 2, (x1 + x2) // 2].float()
        colour = {"red": 0, "green": 1, "blue": 2}[CLASSES[int(target["labels"][-1]) - 1]]
        assert int(inside.argmax()) == colour
        seen.add(x1)
    assert len(seen) == 2


def test_the_papers_augmentation_keeps_boxes_inside_and_labels_beside_them(tmp_path):
    for seed in range(30):
        torch.manual_seed(seed)
        picture, target, _ = task().load(example(tmp_path, seed % 4), "ssd")
        assert picture.shape == (3, 64, 64)
        assert len(target["boxes"]) == len(target["labels"])
        assert (target["boxes"] >= 0).all()
        assert (target["boxes"] <= 64).all()
        assert (target["boxes"][:, 2:] > target["boxes"][:, :2]).all()


def test_metric_is_pycocotools_own(tmp_path):
    examples = [example(tmp_path, number) for number in range(6)]
    rng = np.random.default_rng(0)
    predictions = []
    for one in examples:
        moved = [
            Box(box.label, box.x1 + shift, box.y1, box.x2 + shift, box.y2, float(rng.uniform()))
            for box in one.annotation.boxes
            for shift in (float(rng.uniform(0, 8)), 30.0)
        ]
        predictions.append(Annotation(one.item.id, tuple(moved)))
    found = task().evaluate(examples, reversed(predictions))
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = {
            "images": [{"id": n} for n in range(1, 7)],
            "categories": [{"id": n, "name": name} for n, name in enumerate(CLASSES, 1)],
            "annotations": [
                {"id": 100 * n + k, "image_id": n, "category_id": 1 + CLASSES.index(b.label), "iscrowd": 0,
                 "bbox": [b.x1, b.y1, b.x2 - b.x1, b.y2 - b.y1], "area": (b.x2 - b.x1) * (b.y2 - b.y1)}
                for n, one in enumerate(examples, 1) for k, b in enumerate(one.annotation.boxes, 1)
            ],
        }  # fmt: skip
        coco.createIndex()
        rows = [
            {"image_id": n, "category_id": 1 + CLASSES.index(b.label), "score": b.score,
             "bbox": [b.x1, b.y1, b.x2 - b.x1, b.y2 - b.y1]}
            for n, one in enumerate(predictions, 1) for b in one.boxes
        ]  # fmt: skip
        evaluation = COCOeval(coco, coco.loadRes(rows), "bbox")
        evaluation.evaluate(), evaluation.accumulate(), evaluation.summarize()
    assert 0 < found["map"] < found["ap50"] <= 1
    assert found["map"] == pytest.approx(evaluation.stats[0])
    assert found["ap50"] == pytest.approx(evaluation.stats[1])
    precision = evaluation.eval["precision"][:, :, :, 0, -1]  # (IoU thresholds, recalls, classes)
    for number, name in enumerate(CLASSES):
        assert found[f"ap/{name}"] == pytest.approx(precision[:, :, number].mean())
        assert found[f"ap50/{name}"] == pytest.approx(precision[0, :, number].mean())
    assert list(found) == ["map", "ap50", *(f"{kind}/{name}" for kind in ("ap", "ap50") for name in CLASSES)]


def test_metric_without_predictions_is_zero_and_without_objects_an_error(tmp_path):
    one = example(tmp_path, 0)
    names = sorted({box.label for box in one.annotation.boxes})
    nothing = {"map": 0.0, "ap50": 0.0, **{f"{kind}/{name}": 0.0 for kind in ("ap", "ap50") for name in names}}
    assert task().evaluate([one], [Annotation(one.item.id)]) == nothing
    empty = task().encode(item(), tmp_path, FACTS, Annotation("x"))
    with pytest.raises(DataError, match="No held-out image has an object"):
        task().evaluate([empty], [Annotation("x.jpg")])


def test_predictions_are_in_pixels_of_the_original_and_sorted(tmp_path):
    torch.manual_seed(0)
    detection = task()
    model = detection.build_model().eval()
    examples = [example(tmp_path, 0), example(tmp_path, 1, size=(192, 160))]
    with torch.no_grad():
        found = detection.predictions(model, batch(detection, examples))
    assert [row.item_id for row in found] == ["0.png", "1.png"]
    assert max(box.x2 for box in found[0].boxes) <= 96
    assert 96 < max(box.x2 for box in found[1].boxes) <= 192
    scores = [box.score for box in found[0].boxes]
    assert scores == sorted(scores, reverse=True)


def test_the_box_predictors_run_only_when_a_signal_needs_them(tmp_path, monkeypatch):
    detection = task()
    model = detection.build_model().eval()
    monkeypatch.setattr(model.head, "forward", None)
    found, features = detection.signals(model, batch(detection, [example(tmp_path, 0)]), frozenset({"predicted_loss"}))
    assert found == {}
    assert len(features) == 4


def test_the_tie_is_on_the_box_whose_two_likeliest_classes_are_nearest():
    boxes = torch.tensor([[0.0, 0.0, 20.0, 20.0], [40.0, 60.0, 60.0, 100.0], [0.0, 0.0, 9.0, 9.0]])
    probabilities = torch.tensor([[0.0, 0.55, 0.45, 0.0], [0.4, 0.05, 0.3, 0.25], [0.7, 0.15, 0.15, 0.0]])
    np.testing.assert_allclose(_tie(probabilities, boxes, 200), [1, 2, 0.95, 0.25, 0.4, 0.3], rtol=1e-5)
    assert not _tie(probabilities[2:], boxes[2:], 200).any()
    assert not _tie(probabilities[:0], boxes[:0], 200).any()
    assert not _tie(probabilities[:, :2], boxes, 200).any()


def test_each_box_shares_its_entropy_among_its_classes():
    probabilities = torch.tensor([[0.5, 0.5, 0.0, 0.0], [0.5, 0.0, 0.25, 0.25]])
    first, second = np.log(2), 1.5 * np.log(2)
    shares = _class_uncertainty(probabilities)
    np.testing.assert_allclose(shares, [first, second / 2, second / 2], rtol=1e-5)
    assert _class_uncertainty(probabilities[:0]).tolist() == [0, 0, 0]


def test_an_image_without_a_confident_box_is_unknown(tmp_path, monkeypatch):
    detection = task()
    model = detection.build_model().eval()
    nothing = torch.zeros(0, dtype=torch.int64)
    monkeypatch.setattr(detectors, "confident_anchors", lambda outputs, *rest: [nothing] * len(outputs.logits))
    needs = frozenset({"margin", "entropy", "class_uncertainty"})
    signals, _ = detection.signals(model, batch(detection, [example(tmp_path, 0)]), needs)
    assert signals["margin"].tolist() == signals["entropy"].tolist() == [UNKNOWN]
    assert signals["class_uncertainty"].tolist() == [[0, 0, 0]]


@pytest.mark.parametrize(("name", "index"), [("ssd-tiny", 3), ("ssd-mobilenet-v2", 2), ("ssdlite320-mobilenet-v3", 1)])
def test_the_embedding_is_the_last_map_of_the_trunk_and_only_the_trunk_is_frozen(tmp_path, name, index):
    detection = Detection(Detection.Options(), ModelOptions(name=name, weights="none", input_size=128), CLASSES)
    model = detection.build_model().eval()
    images = batch(detection, [example(tmp_path, 0)])
    with torch.inference_mode():
        signals, features = detection.signals(model, images, frozenset({"embedding"}))
    assert torch.equal(signals["embedding"], embedding(pool_maps([features[index]])))
    frozen = sum(parameter.numel() for parameter in detection.backbone(model).parameters())
    whole = sum(parameter.numel() for parameter in model.backbone.parameters())
    assert (frozen < whole) == (name != "ssd-tiny")
