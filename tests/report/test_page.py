"""The page from facts alone: hard cases that no small project has."""

from __future__ import annotations

import dataclasses
import math

import pytest

from alcli.curves.classes import ClassNumbers
from alcli.curves.forecast import fit
from alcli.curves.history import CycleFacts
from alcli.curves.outlook import GO_ON, STOP, Means, Outlook, outlook
from alcli.report import Card, ClassRow, Facts, Neighbour, charts
from alcli.report.frame import isolated
from alcli.report.judgement import against_random, judgement, model_in_words, weakest_class, weakness_in_words
from alcli.report.page import page
from alcli.review.retrospective import Retrospective
from alcli.workspace.measurements import Collapse, Measurement
from tests.report.test_gather import Page

LONG, RIGHT_TO_LEFT = "c" * 200, "שלום עולם"
EPOCHS = {"train.epochs": "40"}


def cycle(number: int, value: float, **changes) -> CycleFacts:
    """A cycle with 40 held-out images."""
    facts = CycleFacts(number, "2026-11-26T02:00:00Z", "2026-11-26T03:00:00Z", labels=60 * number, held_out=40,
                       metrics={"map": value}, interval=(value - 0.05, value + 0.05), method="stratified",
                       settings=EPOCHS)  # fmt: skip
    return dataclasses.replace(facts, **changes)


def facts(cycles=(), names=("a", "b"), **changes) -> Facts:
    """A page with one image."""
    card = Card(1, "x.jpg", "", 100.0, "rare class: a (in 1 annotated image)", "1 × a", None, "gone", classes=names)
    rows = [ClassRow(name, 3, 1 / len(names), None, None, False) for name in names]
    known = {
        "title": "cells: cycle 1", "cycle": len(cycles) or 1, "made": "2026-11-26T03:00:00Z", "cards": [card],
        "contrast": [], "asked": 1, "ranked": 10, "cycles": cycles, "balance": rows, "retrospectives": [],
        "pool": {"labeled": 60, "unlabeled": 10, "skipped": 0, "quarantined": 0}, "quarantined": [], "doubts": [],
        "doubted": 0, "settings": {}, "versions": {}, "classes": [ClassNumbers(name, 2, 3) for name in names],
    }  # fmt: skip
    return Facts(**{**known, **changes})


def test_before_three_cycles_nobody_says_when_to_stop():
    early = facts([cycle(1, 0.2), cycle(2, 0.3)])
    told = judgement(early, Outlook("The next labels bring much.", advice=GO_ON))
    assert (told.word, told.tone) == ("Not known yet", "wait")
    assert told.text == "Go on annotating; when to stop can be said after the next cycle."
    assert "after 2 more cycles" in judgement(facts([cycle(1, 0.2)]), Outlook("")).text
    assert against_random(early).startswith("not known before cycle 3: none of the randomly drawn images")


def test_the_comparison_with_random_says_from_which_cycle_on_it_is_known():
    known = [Retrospective(cycle, 20, None, [1.0] * 19, [1.0]) for cycle in (1, 2)]
    cycles = [cycle(number, 0.2) for number in (1, 2, 3)]
    told = against_random(facts(cycles, retrospectives=known, controls=2))
    assert told.startswith("not known before cycle 5: 2 of the randomly drawn images are annotated, 5 are needed.")
    assert against_random(facts(cycles, retrospectives=known)).startswith("not known yet: 2 of")


def test_without_a_target_the_page_says_when_it_will_say_stop():
    going = facts([cycle(number, 0.2 * number) for number in (1, 2, 3)])
    told = "When a whole list would bring less than 1 point, this page says Stop."
    assert told in page(going, Outlook("So it is.", advice=GO_ON))
    assert told not in page(going, Outlook("So it is.", advice=GO_ON), target=0.8)
    assert told not in page(going, Outlook("So it is.", advice=STOP))
    assert told not in page(dataclasses.replace(going, ranked=0), Outlook("So it is.", advice=GO_ON))


def test_a_model_of_other_settings_is_compared_and_the_settings_are_named():
    cycles = [cycle(1, 0.4), cycle(2, 0.38, settings={"train.epochs": "3"})]
    told = model_in_words(facts(cycles))
    assert told.endswith("-2.0 points since cycle 1 (within the noise); settings have changed: train.epochs 40 → 3")


@pytest.mark.parametrize(("advice", "word"), [(GO_ON, "Go on"), (STOP, "Stop"), ("unsure", "Hardly worth it")])
def test_the_verdict_is_the_forecasts(advice, word):
    known = facts([cycle(number, 0.2 * number) for number in (1, 2, 3)])
    told = judgement(known, Outlook("So it is.", advice=advice))
    assert (told.word, told.text) == (word, "So it is.")
    text = page(known, Outlook("So it is.", advice=advice))
    assert f"<title>{word} · cells: cycle 1</title>" in text and f'<p class="word">{word}</p>' in text


def test_a_collapsed_model_is_the_verdict_and_its_point_is_grey():
    low = Measurement("stratified", 40, 40.0, {"map": 0.01}, (0.0, 0.05))
    collapse = Collapse(4, "a", low, 3, Measurement("", 40, 40.0, {"map": 0.4}), ("train.epochs 40 → 3",))
    cycles = [cycle(number, 0.1 * number) for number in (1, 2, 3)]
    cycles.append(cycle(4, 0.01, interval=(0.0, 0.05), settings={"train.epochs": "3"}, collapse=collapse))
    known = facts(cycles)
    told = judgement(known, Outlook("", advice=GO_ON))
    assert told.word == "Collapsed model" and "train.epochs 40 → 3" in told.text
    assert model_in_words(known).startswith("mAP 30.0 % [90 %: 25 to 35] (cycle 3), +10.0 points since cycle 2")
    text = page(known, outlook(cycles, None, Means(60)))
    assert "not comparable" in text and '<tr class="apart">' in text


def test_the_model_has_got_better_only_beyond_the_noise():
    assert "(within the noise)" in model_in_words(facts([cycle(1, 0.2), cycle(2, 0.25)]))
    assert "noise" not in model_in_words(facts([cycle(1, 0.2), cycle(2, 0.4)]))
    assert weakness_in_words(facts([cycle(1, 0.02)])).startswith("The model is still too weak")
    assert weakness_in_words(facts([cycle(1, 0.2)])) == ""


def test_chosen_images_are_compared_with_random_ones_or_the_simulation_counts():
    row = Retrospective(2, 40, 0.1, [2.0 + 0.01 * n for n in range(30)], [1.0 + 0.01 * n for n in range(10)])
    assert against_random(facts(retrospectives=[row])).startswith("the chosen images are 2.1 times as hard")
    assert against_random(facts(simulated="+2.1 points")) == "+2.1 points"


def test_metrics_that_are_not_numbers_are_no_points():
    cycles = [cycle(1, math.nan, interval=None), cycle(2, 0.2)]
    text = page(facts(cycles), outlook(cycles, None, Means(60)))
    assert "mAP 20.0 %" in text and "nan" not in Page(text).text.lower()
    only = [cycle(1, math.nan, interval=None)]
    assert "The learning curve begins" in page(facts(only), outlook(only, None, Means(60)))


def test_two_hundred_classes_fold():
    names = [f"class {number:03}" for number in range(200)]
    text = page(facts([cycle(1, 0.2)], names), Outlook(""))
    parsed = Page(text)
    assert "The other 188 classes" in parsed.text
    assert text.count("<bdi>class 199</bdi>") == 1
    assert len(text) < 400_000


@pytest.mark.parametrize("name", [LONG, RIGHT_TO_LEFT, "a\u202eb"])
def test_long_and_right_to_left_names_stay_whole_in_the_table(name):
    known = facts([cycle(1, 0.2)], (name, "other"), confusions=[(0, 1, 3), (0, 0, 4)])
    text = page(known, Outlook(""))
    parsed = Page(text)
    assert name.replace("\u202e", "\\u202e") in parsed.text
    assert len(weakest_class([ClassNumbers(name, 2, 3, None, {"recall": 0.0})])) < 100
    assert "taken for" in parsed.text and "Which classes are confused" in parsed.text
    assert "\u202e" not in text


def test_a_name_from_right_to_left_leaves_the_rest_of_a_sentence_in_place():
    other = "كلب 2 صغير"
    rows = [ClassNumbers(name, 2, 3, 1, {"recall": 0.0}) for name in (RIGHT_TO_LEFT, other)]
    rows.append(ClassNumbers("cat", 4, 5, 1, {"recall": 0.5}))
    card = dataclasses.replace(facts().cards[0], reason=f"{RIGHT_TO_LEFT} (31 %) or {other} (30 %)?; rare class: <b>")
    text = page(facts([cycle(1, 0.2)], (RIGHT_TO_LEFT, other, "cat"), classes=rows, cards=[card]), Outlook(""))
    sentence = f"The model never finds <bdi>{RIGHT_TO_LEFT}</bdi> (2 annotated images), <bdi>{other}</bdi> (2)."
    assert text.count(sentence) == 2
    assert (
        f"<bdi>{RIGHT_TO_LEFT}</bdi> (31\u00a0%) or <bdi>{other}</bdi> (30\u00a0%)? <br>rare class: &lt;b&gt;" in text
    )
    # Nothing but names in Latin letters: nothing is added.
    assert isolated("cat (31 %)") == "cat (31 %)"


@pytest.mark.parametrize("target", [None, 0.9])
def test_no_word_of_a_legend_is_cut_off(target, monkeypatch):
    figures = []
    monkeypatch.setattr(charts, "to_svg", lambda figure, name: figures.append(figure) or "")
    points = [cycle(number, 0.1 * number) for number in (1, 2, 3, 4)]
    bundle = fit([each.labels for each in points], [0.1, 0.2, 0.3, 0.4], [40] * 4)
    charts.learning_curve(points, [cycle(5, 0.1)], bundle, target, 600)
    (figure,) = figures
    legend = figure.axes[0].get_legend()
    assert len(legend.get_texts()) == (4 if target else 3)
    assert legend.get_window_extent().x1 <= figure.bbox.x1


def test_the_nearest_image_is_named_once_and_numbers_keep_their_unit():
    reason = "unlike all annotated images: the nearest is near.jpg; less sure than for 84 % of the images"
    card = dataclasses.replace(facts().cards[0], reason=reason, nearest=Neighbour("near.jpg", None))
    text = Page(page(facts([cycle(1, 0.2)], cards=[card]), Outlook(""))).text
    assert "unlike all annotated images; less sure than for 84\u00a0% of the images" in text
    assert text.count("near.jpg") == 1
    alone = dataclasses.replace(card, nearest=None)
    text = Page(page(facts([cycle(1, 0.2)], cards=[alone]), Outlook(""))).text
    assert "unlike all annotated images: the nearest is near.jpg; less sure" in text


def test_one_class_and_nothing_held_out_is_said():
    known = facts([cycle(1, 0.2, metrics={}, held_out=0)], ("only",))
    text = Page(page(known, Outlook("", advice=""))).text
    assert "No image is held out yet to measure the model on." in text
    assert "Weakest class" not in text
