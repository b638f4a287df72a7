from __future__ import annotations

import numpy as np
import pytest

from alcli.annotations import Annotation, Box
from alcli.review.audit import is_credible
from alcli.review.differences import DIFFERENT, EXTRA, MISSING, SHIFTED, WRONG, difference, excess, overlap


def test_excess_is_what_lies_above_the_losses_of_images_that_looked_as_hard():
    rng = np.random.default_rng(0)
    predicted = rng.uniform(0, 1, 400)
    true = np.exp(3 * predicted) * rng.uniform(0.8, 1.2, 400)
    hard = int(predicted.argmax())
    easy = int(predicted.argmin())
    true[easy] = 15.0
    found = excess(true, predicted)
    assert found.argmax() == easy
    assert found[easy] > 3
    assert true[hard] > true[easy] and found[hard] < 3


def test_few_items_are_compared_with_their_middle_and_equal_ones_have_no_excess():
    found = excess(np.array([1.0, 1.1, 0.9, 1.0, 9.0]), np.zeros(5))
    assert found.argmax() == 4
    assert excess(np.ones(30), np.arange(30.0)).tolist() == [0.0] * 30
    assert len(excess(np.zeros(0), np.zeros(0))) == 0


def test_losses_of_both_sides_may_be_in_any_unit():
    rng = np.random.default_rng(0)
    true, predicted = rng.uniform(0, 1, 50), rng.uniform(0, 1, 50)
    assert np.allclose(excess(true, predicted), excess(1000 * true, 5 + 0.001 * predicted))


BOX = Box("cat", 10, 10, 30, 30)
FAR = Box("dog", 50, 50, 60, 60)


def seen(*boxes: Box) -> Annotation:
    return Annotation("x", boxes)


@pytest.mark.parametrize(
    ("said", "model", "kind"),
    [
        ((BOX,), (Box("cat", 11, 11, 31, 31, 0.9),), DIFFERENT),
        ((), (Box("cat", 11, 11, 31, 31, 0.9),), MISSING),
        ((), (Box("cat", 11, 11, 31, 31, 0.3),), DIFFERENT),
        ((BOX,), (), EXTRA),
        ((BOX,), (Box("dog", 11, 11, 31, 31, 0.9),), WRONG),
        ((BOX,), (Box("cat", 22, 20, 42, 40, 0.9),), SHIFTED),
        (
            (BOX, Box("dog", 50, 50, 60, 60)),
            (Box("cat", 11, 11, 31, 31, 0.9), Box("dog", 80, 80, 90, 90, 0.8)),
            MISSING,
        ),
    ],
)
def test_the_kind_of_a_box_that_is_wrong(said, model, kind):
    assert difference(Annotation("x", said), seen(*model)).kind == kind


def test_what_the_model_is_surest_of_is_named():
    model = seen(Box("dog", 11, 11, 31, 31, 0.6), Box("cow", 70, 70, 90, 90, 0.95))
    told = difference(Annotation("x", (BOX,)), model)
    assert (told.kind, told.detail) == (MISSING, "the model sees a cow 95 %")


def test_labels():
    said = Annotation("x", labels=("cat",))
    told = difference(said, Annotation("x", labels=("dog",), label_scores=(0.9,)))
    assert (told.kind, told.detail) == (WRONG, "labeled cat, the model sees dog 90 %")
    assert difference(said, Annotation("x", labels=("cat",), label_scores=(0.9,))).kind == DIFFERENT
    assert difference(Annotation("x"), Annotation("x")).kind == DIFFERENT


def test_only_a_model_that_is_sure_of_something_else_doubts():
    said = Annotation("x", labels=("hat",))
    unsure, sure = (difference(said, Annotation("x", labels=("shoes",), label_scores=(s,))) for s in (0.3, 0.9))
    assert (unsure.is_sure, sure.is_sure) == (False, True)
    assert not difference(Annotation("x", (BOX,)), seen()).is_sure
    assert not difference(said, Annotation("x", labels=("hat",), label_scores=(0.9,))).is_sure
    doubt = difference(Annotation("x", (BOX,)), seen(Box("dog", 11, 11, 31, 31, 0.9)))
    assert doubt.is_sure and doubt.box == Box("dog", 11, 11, 31, 31, 0.9)


def test_a_poor_model_doubts_nobody():
    assert is_credible({"map": 0.4}) and not is_credible({"map": 0.39})
    assert is_credible({"top1": 0.6}) and not is_credible({"top1": 0.59, "macro_accuracy": 0.9})
    assert not is_credible({}) and not is_credible({"miou": float("nan")})


def test_overlap():
    others = [BOX, Box("cat", 30, 30, 40, 40), Box("cat", 20, 10, 40, 30)]
    assert overlap([BOX], others)[0].tolist() == pytest.approx([1, 0, 1 / 3])
    assert overlap([], others).shape == (0, 3)
    assert overlap(others, []).shape == (3, 0)
