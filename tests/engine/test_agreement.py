from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from alcli.annotations import Annotation, Box
from alcli.config import ModelOptions
from alcli.engine.agreement import agreement
from alcli.items import Item
from alcli.tasks import Example
from alcli.tasks.classification import Classification
from alcli.tasks.detection import Detection

NAMES = ("a", "b", "c", "d")
EXAMPLES = [Example(Item(name, name, "u"), Path(name), Annotation(name), (100, 100)) for name in NAMES]


def labels(*said):
    return [Annotation(name, labels=(label,), label_scores=(0.3,)) for name, label in zip(NAMES, said, strict=False)]


def test_one_label_an_image_is_compared_however_unsure():
    task = Classification(Classification.Options(name="classification"), ModelOptions(), ("cat", "dog"))
    before = labels("cat", "dog", "cat", "dog")
    assert agreement(task, EXAMPLES, before, before) == 1
    assert agreement(task, EXAMPLES, before, labels("cat", "dog", "dog", "dog")) == 0.75


def test_only_images_that_both_have_seen_count():
    task = Classification(Classification.Options(name="classification"), ModelOptions(), ("cat", "dog"))
    assert agreement(task, EXAMPLES, labels("cat", "dog"), labels("cat", "cat", "dog", "dog")) == 0.5
    assert agreement(task, EXAMPLES, [], labels("cat")) is None


def test_what_an_earlier_detector_was_sure_of_has_to_be_found_again():
    task = Detection(Detection.Options(), ModelOptions(), ("cell",))
    sure, unsure = Box("cell", 0, 0, 50, 50, 0.9), Box("cell", 60, 60, 90, 90, 0.2)
    before = [Annotation("a", (sure, unsure), (100, 100))]
    assert agreement(task, EXAMPLES, before, [Annotation("a", (sure,), (100, 100))]) == pytest.approx(1)
    assert agreement(task, EXAMPLES, before, [Annotation("a", (), (100, 100))]) == 0
    # New objects are a change, too, whichever model is asked first.
    more = [Annotation("a", (sure, replace(unsure, score=0.8)), (100, 100))]
    assert agreement(task, EXAMPLES, before, more) == agreement(task, EXAMPLES, more, before) < 1
    nothing = [Annotation("a", (unsure,), (100, 100))]
    assert agreement(task, EXAMPLES, nothing, nothing) is None


def test_of_several_labels_those_below_a_half_are_not_said():
    options = Classification.Options(name="classification", multi_label=True)
    task = Classification(options, ModelOptions(), ("cat",))
    before, now = (
        [Annotation(name, labels=("cat",), label_scores=(score,)) for name, score in zip(NAMES, scores, strict=True)]
        for scores in ((0.9, 0.1, 0.2, 0.8), (0.1, 0.9, 0.8, 0.2))
    )
    assert agreement(task, EXAMPLES, before, before) == 1
    assert agreement(task, EXAMPLES, before, now) < 0.6
