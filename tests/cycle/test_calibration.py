"""The temperature of `calibrated:` is fitted to the held-out images, or why not is said."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from alcli.annotations import Annotation
from alcli.cycle._calibration import best_temperature, fit_temperature
from alcli.items import Item
from alcli.signals import Signals
from alcli.strategies import make_strategy
from alcli.strategies.calibrated import at_temperature, is_distribution
from alcli.system.progress import Silent
from alcli.tasks import Example
from tests.support.worlds import picks, signals

CLASSES = ("a", "b", "c")


class Told(Silent):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)

    detail = say


def world(count: int, temperature: float, classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities that are too sure (temperature > 1) or not sure enough, and right classes."""
    rng = np.random.default_rng(0)
    logits = rng.normal(scale=2, size=(count, classes))
    honest = at_temperature(np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True), 1)
    true = np.array([rng.choice(classes, p=row) for row in honest])
    return at_temperature(honest, 1 / temperature), true


def fit(probabilities: np.ndarray, true: np.ndarray) -> tuple[float | None, list[str]]:
    ids = [f"i{number:04}" for number in range(len(true))]
    labels = [Annotation(i, labels=(CLASSES[t],), label_scores=(1.0,)) for i, t in zip(ids, true.tolist(), strict=True)]
    examples = [Example(Item(i, i, "u"), None, label, (8, 8)) for i, label in zip(ids, labels, strict=True)]
    told = Told()
    context = SimpleNamespace(progress=told)
    return fit_temperature(context, Signals(ids, {"class_scores": probabilities}), examples, CLASSES), told.lines


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_temperature_that_spoilt_the_probabilities_is_recovered(temperature):
    assert best_temperature(*world(4000, temperature)) == pytest.approx(temperature, rel=0.1)


def test_a_fitted_temperature_is_told_with_the_number_of_images():
    temperature, lines = fit(*world(400, 3.0))
    assert temperature == pytest.approx(3, rel=0.3)
    assert lines == [f"Temperature {temperature:.2f}, fitted to 400 held-out images."]


def test_why_none_can_be_fitted_is_said():
    probabilities, true = world(40, 1.0)
    best = probabilities.argmax(axis=1)
    cases = {
        "fewer than 10 held-out images": (probabilities[:9], true[:9]),
        "no distribution": (probabilities * 0.5, true),
        "of one class": (probabilities, np.zeros(40, np.int64)),
        "right on all": (probabilities, best),
        "wrong on all": (probabilities, (best + 1) % 3),
    }
    for why, case in cases.items():
        temperature, lines = fit(*case)
        assert temperature is None
        assert why in lines[0] and lines[0].endswith(": uncertainties stay as they are.")


def test_a_temperature_of_one_changes_nothing_and_a_high_one_flattens():
    probabilities = world(50, 1.0)[0]
    assert at_temperature(probabilities, 1.0) == pytest.approx(probabilities)
    assert at_temperature(probabilities, 1e6) == pytest.approx(np.full((50, 3), 1 / 3), abs=1e-4)
    certain = at_temperature(np.array([[1.0, 0.0, 0.0]]), 2.0)
    assert np.isfinite(certain).all() and certain.sum() == pytest.approx(1)


def test_the_wrapped_strategy_reads_calibrated_uncertainties():
    # At temperature 1 the second item has the larger margin of uncertainty, at temperature 4 the first.
    probabilities = np.array([[0.60, 0.20, 0.20], [0.55, 0.45 - 1e-6, 1e-6]])
    margin = 1 - np.array([0.40, 0.10])
    pool = signals(class_scores=probabilities, margin=margin)
    strategy = make_strategy("calibrated:margin")
    assert strategy.needs == {"class_scores", "margin"} and strategy.reads_temperature
    assert picks(strategy, pool, 1) == picks(make_strategy("margin"), pool, 1) == [1]
    hot = Signals(pool.item_ids, pool.arrays, temperature=4.0)
    expected = 1 - np.ptp(np.sort(at_temperature(probabilities, 4.0), axis=1)[:, 1:], axis=1)
    assert picks(strategy, hot, 2) == np.argsort(-expected, kind="stable").tolist()
    assert make_strategy("diverse:calibrated:margin").reads_temperature
    assert not make_strategy("diverse:margin").reads_temperature


def test_detections_are_no_distribution():
    assert not is_distribution(np.array([[0.9, 0.8], [0.0, 0.1]]))
    assert not is_distribution(np.ones((3, 1))) and not is_distribution(np.zeros((0, 2)))
