"""Signals from predictions: the same numbers as torch gives alcli's own models, and known values."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from alcli.config import TaskOptions
from alcli.models import uncertainty
from alcli.predictions import FRACTIONS, Boxes, ImagePrediction, measures
from alcli.signals import UNKNOWN

CLASSES = ("cat", "dog", "owl")
OPTIONS = TaskOptions()


def boxes(scores, labels, probabilities=None, support=None):
    corners = np.array([[0.1, 0.2, 0.3, 0.6]] * len(scores)).reshape(-1, 4)
    part = Boxes(labels, corners, np.array(scores, dtype=float), probabilities, support)
    return ImagePrediction("a", classes=CLASSES, units=FRACTIONS, boxes=part)


def test_probabilities_of_an_image_give_torchs_numbers_whatever_their_order():
    probabilities = np.array([0.2, 0.7, 0.1])
    prediction = ImagePrediction("a", classes=("owl", "cat", "dog"), probabilities=probabilities)
    values = measures.of_labels(prediction, CLASSES, OPTIONS, several=False)
    assert values["class_scores"].tolist() == [0.7, 0.1, 0.2]
    tensor = torch.tensor([0.7, 0.1, 0.2], dtype=torch.float64)
    for name, measure in uncertainty.UNCERTAINTIES.items():
        assert values[name] == pytest.approx(float(measure(tensor)))
    np.testing.assert_allclose(values["class_uncertainty"], uncertainty.class_uncertainty(tensor).numpy())
    assert values["expected_objects"] == pytest.approx(1)


def test_several_labels_are_uncertain_one_by_one():
    prediction = ImagePrediction("a", classes=CLASSES, probabilities=np.array([0.5, 1.0, 0.0]))
    values = measures.of_labels(prediction, CLASSES, OPTIONS, several=True)
    assert values["entropy"] == pytest.approx(math.log(2) / 3)
    assert values["class_uncertainty"].tolist() == pytest.approx([math.log(2), 0, 0])
    assert values["expected_objects"] == pytest.approx(1.5)


def test_a_box_without_probabilities_has_its_class_and_the_background():
    values = measures.of_boxes(boxes([0.5, 0.9, 0.01], ["cat", "dog", "owl"]), CLASSES, OPTIONS)
    assert values["entropy"] == pytest.approx((math.log(2) - 0.9 * math.log(0.9) - 0.1 * math.log(0.1)) / 2)
    assert values["margin"] == pytest.approx((1 + 0.2) / 2)
    assert values["class_scores"].tolist() == [0.5, 0.9, 0]
    assert values["expected_objects"] == pytest.approx(1.4)
    assert values["tie"].tolist() == [0] * 6 and "support" not in values


def test_probabilities_of_a_box_tie_two_classes():
    table = np.array([[0.4, 0.0, 0.35], [0.05, 0.9, 0.0]])
    values = measures.of_boxes(boxes([0.4, 0.9], ["cat", "dog"], table, np.array([3.0, 9.0])), CLASSES, OPTIONS)
    np.testing.assert_allclose(values["tie"], [0, 2, 0.95, 0.2, 0.4, 0.4])
    assert values["support"] == 6
    full = torch.tensor([[0.25, 0.4, 0.0, 0.35], [0.05, 0.05, 0.9, 0.0]], dtype=torch.float64)
    assert values["entropy"] == pytest.approx(float(uncertainty.entropy(full).mean()))


def test_aggregation_follows_the_settings():
    prediction = boxes([0.5, 0.9], ["cat", "cat"])
    for name, expected in (("sum", 1.2), ("max", 1.0), ("mean", 0.6)):
        options = TaskOptions(aggregate=name)
        assert measures.of_boxes(prediction, CLASSES, options)["margin"] == pytest.approx(expected)
    options = TaskOptions(aggregate="top-k", top_k=1, count_power=1.0)
    assert measures.of_boxes(prediction, CLASSES, options)["margin"] == pytest.approx(1.0 / 1.4)


def test_an_image_without_a_likely_box_is_of_unknown_uncertainty():
    values = measures.of_boxes(boxes([], []), CLASSES, OPTIONS)
    assert values["entropy"] == values["margin"] == UNKNOWN and values["expected_objects"] == 0


def test_joints_and_shares():
    pose = ImagePrediction("a", people=[{"cat": (0, 0, 0.5), "dog": (0, 0, 1.0)}, {"cat": (0, 0, 0.5)}])
    values = measures.of_joints(pose, ("cat", "dog"), OPTIONS)
    assert values["class_scores"].tolist() == [0.5, 0.5] and values["expected_objects"] == 2
    assert values["entropy"] == pytest.approx(2 * math.log(2) / 4)
    region = ImagePrediction("a", shares={"dog": 0.25})
    assert measures.of_regions(region, CLASSES)["class_scores"].tolist() == [0, 0.25, 0]


def test_the_key_that_gives_a_signal_is_named():
    assert measures.key_for("margin", "detection") == '"boxes", or "signals": {"margin": …}'
    assert measures.key_for("margin", "segmentation") == '"signals": {"margin": …}'
    assert measures.key_for("predicted_loss", "detection") == '"signals": {"predicted_loss": …}'
    assert "embedding" in measures.key_for("embedding", "pose")
