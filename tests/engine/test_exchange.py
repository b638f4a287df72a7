"""Two models on the same images: a loss that no chance explains, and losses that chance explains."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from alcli import plugins
from alcli.annotations import Annotation, Box
from alcli.config import ModelOptions
from alcli.curves.collapse import is_worse_on_same_images
from alcli.engine.exchange import Exchange, compare_on_same_images
from alcli.errors import DataError
from alcli.items import LABELED, Item
from alcli.tasks import Example
from alcli.workspace.measurements import SameImages


class Share:
    """The share of images that are right."""

    def evaluate(self, examples, predictions):
        if not examples:
            raise DataError("nothing to evaluate")
        return {"top1": float(np.mean([prediction.labels == ("yes",) for prediction in predictions]))}


def examples(count):
    return [
        Example(Item(str(number), f"{number}.png", f"file:///{number}.png", state=LABELED), Path(f"{number}.png"))
        for number in range(count)
    ]


def answers(right):
    return {
        str(number): Annotation(str(number), labels=("yes" if each else "no",)) for number, each in enumerate(right)
    }


def compare(new, before, seed=0) -> Exchange:
    result = compare_on_same_images(Share(), examples(len(new)), answers(new), answers(before), -1, seed)
    assert result is not None
    return result


def test_only_images_that_one_model_gets_wrong_and_the_other_right_count():
    before = np.ones(40, bool)
    before[30:] = False  # too hard for both
    new = before.copy()
    new[:9] = False
    result = compare(new, before)
    assert (result.images, result.new, result.before) == (40, 21 / 40, 30 / 40)
    # All nine lost: by chance one time in 2^9, and the exchanges vary by the root of nine images.
    assert result.p == pytest.approx(stats.t.cdf(-3, 200), rel=0.8)
    assert result.p < 0.005
    assert compare(before, new).p > 0.995
    # The same nine, and nine others won.
    mixed = before.copy()
    mixed[:9], mixed[30:39] = False, True
    assert 0.3 < compare(mixed, before).p < 0.7


def test_few_images_never_prove_anything():
    for lost in range(1, 6):
        new = np.ones(12, bool)
        new[:lost] = False
        assert compare(new, np.ones(12, bool)).p > 0.005


def test_a_loss_that_nobody_minds_is_not_tested():
    new, before = answers([False] * 10 + [True] * 190), answers([True] * 200)
    assert compare_on_same_images(Share(), examples(200), new, before, 0.06, 0) == Exchange(200, 0.95, 1.0, 1.0)


def test_equal_predictions_show_nothing():
    right = np.arange(20) % 3 > 0
    assert compare(right, right) == Exchange(20, right.mean(), right.mean(), 1.0)


def test_equally_good_models_are_held_to_be_worse_about_as_often_as_promised():
    alarms = 0
    for seed in range(400):
        rng = np.random.default_rng(seed)
        ease = rng.beta(0.8, 0.2, 60)
        alarms += compare(rng.random(60) < ease, rng.random(60) < ease, seed).p <= 0.05
    # Two-sided binomial bounds around 20 of 400, at 0.1 %.
    assert 8 <= alarms <= 35


def test_boxes_are_compared_by_the_metric_of_their_task():
    detection = plugins.load("tasks", "detection")
    task = detection(detection.Options(name="detection"), ModelOptions(name="ssd-tiny", weights="none"), ("a",))
    rng = np.random.default_rng(0)
    rows, new, before = [], {}, {}
    for example in examples(16):
        x, y = rng.uniform(0, 50, 2)
        truth = Annotation(example.item.id, (Box("a", x, y, x + 30, y + 30),), (100, 100))
        rows.append(Example(example.item, example.path, truth, (100, 100)))
        for predictions, off in ((new, 6.0), (before, 1.0)):
            box = Box("a", x + off, y, x + 30 + off, y + 30, score=float(rng.uniform(0.5, 1)))
            predictions[example.item.id] = Annotation(example.item.id, (box,), (100, 100))
    result = compare_on_same_images(task, rows, new, before, 0.05, 0)
    assert result is not None and result.before - result.new > 0.3 and result.p < 0.005


def test_nothing_is_said_where_nothing_can_be_compared():
    one = answers([True])
    assert compare_on_same_images(Share(), [], {}, {}, 0, 0) is None
    assert compare_on_same_images(Share(), examples(1), one, {}, 0, 0) is None
    many = answers([True] * 600)
    assert compare_on_same_images(Share(), examples(600), many, many, 0, 0) is None


@pytest.mark.parametrize(("new", "p", "expected"), [(0.7, 0.004, True), (0.7, 0.006, False), (0.76, 1e-9, False)])
def test_a_small_or_doubtful_loss_is_none(new, p, expected):
    assert is_worse_on_same_images(SameImages(200, new, 0.8, p)) is expected
