"""What a whole file of predictions says about itself, and which image each name means."""

from __future__ import annotations

import numpy as np
import pytest

from alcli.errors import DataError
from alcli.items import Item
from alcli.predictions import Boxes, ImagePrediction, Problem, Rules
from alcli.predictions.survey import PoolNames, Survey, foreign_classes, outside


def boxed(name, *labels, corners=(1.0, 2.0, 30.0, 40.0)):
    count = len(labels)
    return ImagePrediction(
        name, f"line of {name}", boxes=Boxes(labels, np.array([corners] * count).reshape(-1, 4), np.ones(count))
    )


def survey(*entries):
    made = Survey()
    for entry in entries:
        made.add(entry)
    return made


def test_two_predictions_for_one_image_are_refused_by_name():
    made = survey(boxed("a", "cat"), boxed("a", "dog"), Problem("line 3", "broken"))
    assert made.images == 1 and made.broken == 2
    with pytest.raises(DataError, match=r"line of a \(a\): a second prediction .* line of a\. So is 1 more\."):
        made.check("f")


def test_foreign_classes_are_left_out_with_the_nearest_name_or_refused():
    rules = Rules(("cat", "dog"))
    assert foreign_classes(survey(boxed("a", "cat", "dog")), rules) == []
    (sentence,) = foreign_classes(survey(boxed("a", "cat", "Dog", "Dog")), rules)
    assert sentence == "Left out: 2 objects of 'Dog', no class of the project. Did you mean dog?"
    with pytest.raises(DataError, match="of other classes: Cat"):
        foreign_classes(survey(boxed("a", "Cat")), rules)


def test_fractions_that_are_said_to_be_pixels():
    with pytest.raises(DataError, match="fractions of the image, not pixels"):
        survey(boxed("a", "cat", corners=(0.1, 0.1, 0.5, 0.9))).check("f")
    survey(boxed("a", "cat", corners=(0.1, 0.1, 0.5, 0.9)), boxed("b", "cat")).check("f")


def test_embeddings_of_two_widths():
    made = survey(ImagePrediction("a", embedding=np.ones(3)), ImagePrediction("b", embedding=np.ones(4)))
    assert made.images == 1 and "an embedding of 4 numbers; those before have 3" in made.problems[0].what


def test_names_with_and_without_folders_and_backslashes():
    items = [Item("1", "x.jpg", "file:x", "a"), Item("2", "x.jpg", "file:x", "b"), Item("3", "sub/y.png", "file:y")]
    names = PoolNames(items)
    assert names.find("a/x.jpg") == ["1"] and sorted(names.find("x.jpg")) == ["1", "2"]
    assert names.find("sub\\y.png") == names.find("y.png") == names.find("y") == names.find("/data/sub/y.png") == ["3"]
    assert names.find("z.jpg") == [] and PoolNames([]).find("x") == []


def test_boxes_outside_their_image():
    prediction = boxed("a", "cat", corners=(1, 2, 130, 40))
    assert outside(prediction, (100, 100), 2).tolist() == [True]
    assert outside(prediction, (128, 100), 2).tolist() == [False]
