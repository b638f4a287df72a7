"""The metric on all images that were not trained on, from the held-out ones: weights, copies, intervals."""

from __future__ import annotations

import numpy as np
import pytest

from alcli.annotations import Annotation, Box
from alcli.config import ModelOptions, TaskOptions
from alcli.engine import stratified
from alcli.engine.stratified import Strata, choose_signal, copies_of, make_strata, measure, uncertainty
from alcli.errors import DataError
from alcli.items import Item
from alcli.signals import Signals
from alcli.tasks import Example
from alcli.tasks.classification import Classification
from alcli.tasks.detection import Detection

NAN = float("nan")


def make(kind, *classes):
    return kind(getattr(kind, "Options", TaskOptions)(name="x"), ModelOptions(weights="none"), classes)


def labeled(tmp_path, pairs):
    """Examples and predictions of (true, predicted) labels."""
    names = [f"i{number}" for number in range(len(pairs))]
    examples = [
        Example(Item(name, name, "u"), tmp_path / name, Annotation(name, labels=(true,)))
        for name, (true, _) in zip(names, pairs, strict=True)
    ]
    guesses = {
        name: Annotation(name, labels=(guess,), label_scores=(1.0,))
        for name, (_, guess) in zip(names, pairs, strict=True)
    }
    return examples, guesses


def test_a_plain_mean_that_is_wrong_by_thirty_points_is_right_by_strata(tmp_path):
    # 84 sure images in the pool, of which the model knows all; 12 unsure ones, of which it knows none. The strategy
    # asked for unsure ones: 8 of them are held out, and 4 sure ones.
    pool, held_out = np.array([0.0] * 80 + [1.0] * 4), np.array([0.0] * 4 + [1.0] * 8)
    strata = make_strata(pool, held_out)
    examples, guesses = labeled(tmp_path, [("cat", "cat")] * 4 + [("dog", "cat")] * 8)
    measured = measure(make(Classification, "cat", "dog"), examples, guesses, strata, 0)
    assert strata.weights.tolist() == pytest.approx([84 / 96 / (4 / 12)] * 4 + [12 / 96 / (8 / 12)] * 8, abs=1e-12)
    assert measured.metrics["top1"] == pytest.approx(84 / 96, abs=1e-9)
    assert stratified._evaluate(make(Classification, "cat", "dog"), examples, guesses, [1] * 12)[
        "top1"
    ] == pytest.approx(4 / 12)
    low, high = measured.interval
    assert 0 < low < 84 / 96 < high < 1


def test_the_interval_is_narrower_with_more_images_and_open_where_all_are_right(tmp_path):
    task = make(Classification, "cat", "dog")
    widths = []
    for count in (10, 100):
        examples, guesses = labeled(tmp_path, [("cat", "cat"), ("dog", "dog"), ("cat", "dog"), ("dog", "dog")] * count)
        equal = Strata(np.zeros(4 * count, dtype=np.int64), np.ones(4 * count))
        low, high = measure(task, examples, guesses, equal, 0).interval
        assert low < 0.75 < high
        widths.append(high - low)
    assert widths[1] < widths[0] / 2.5
    examples, guesses = labeled(tmp_path, [("cat", "cat"), ("dog", "dog")] * 10)
    low, high = measure(task, examples, guesses, Strata(np.zeros(20, dtype=np.int64), np.ones(20)), 0).interval
    assert low == pytest.approx(20 / (20 + 1.6449**2), abs=1e-6)  # Wilson's, 20 of 20: equal draws say nothing
    assert high == pytest.approx(1)


def test_the_same_seed_gives_the_same_interval(tmp_path):
    task = make(Classification, "cat", "dog")
    examples, guesses = labeled(tmp_path, [("cat", "cat"), ("dog", "cat"), ("dog", "dog")] * 5)
    strata = make_strata(np.linspace(0, 1, 50), np.linspace(0, 1, 15))
    assert measure(task, examples, guesses, strata, 7) == measure(task, examples, guesses, strata, 7)


def test_weights_have_the_mean_one_and_follow_the_shares():
    rng = np.random.default_rng(0)
    pool, held_out = rng.random(1000), rng.random(100) ** 0.5
    strata = make_strata(pool, held_out)
    assert strata.weights.mean() == pytest.approx(1)
    assert strata.count > 4
    assert strata.effective_images < 100
    # Only a quarter of the held-out images lies in the surer half of the pool; the cuts do not fall on its middle.
    assert strata.weights[held_out < 0.5].sum() == pytest.approx(50, abs=8)


def test_a_stratum_without_held_out_images_joins_its_neighbor():
    pool = np.linspace(0, 1, 120)
    held_out = np.array([0.9, 0.91, 0.92, 0.97, 0.98, 0.99])  # none below
    strata = make_strata(pool, held_out)
    assert strata.of.tolist() == [0, 0, 0, 1, 1, 1]
    whole = np.concatenate([pool, held_out])
    cut = np.quantile(whole, 11 / 12)
    share = (whole <= cut).mean()
    assert strata.weights.tolist() == pytest.approx([2 * share] * 3 + [2 * (1 - share)] * 3)


@pytest.mark.parametrize("held_out", [[0.1], [0.1, 0.9], [0.1, 0.2, 0.8, 0.9, 0.95]])
def test_too_few_held_out_images_are_one_stratum_of_equal_weights(held_out):
    strata = make_strata(np.linspace(0, 1, 50), np.array(held_out))
    assert strata.count == 1
    assert strata.weights.tolist() == [1.0] * len(held_out)


def test_no_held_out_image_and_no_pool():
    assert make_strata(np.linspace(0, 1, 50), np.zeros(0)).weights.tolist() == []
    assert make_strata(np.zeros(0), np.zeros(0)).effective_images == 0
    alone = make_strata(np.zeros(0), np.linspace(0, 1, 36))
    assert alone.weights.tolist() == pytest.approx([1.0] * 36)


def test_equal_uncertainties_are_one_stratum():
    assert make_strata(np.full(50, 0.3), np.full(8, 0.3)).weights.tolist() == [1.0] * 8


def test_unknown_uncertainties_are_a_stratum_of_their_own():
    # Half of the pool is unknown, a quarter of the held-out images.
    strata = make_strata(np.array([NAN] * 48 + [0.5] * 40), np.array([NAN] * 4 + [0.5] * 12))
    assert strata.weights.tolist() == pytest.approx([(52 / 104) / (4 / 16)] * 4 + [(52 / 104) / (12 / 16)] * 12)


def test_unknown_only():
    assert make_strata(np.array([NAN] * 9), np.array([NAN] * 3)).weights.tolist() == [1.0] * 3


def test_copies_repeat_images_in_proportion():
    assert copies_of(np.array([0.5, 0.5, 1.5, 1.5]), 100).tolist() == [1, 1, 3, 3]
    assert copies_of(np.array([0.25, 1.75]), 100).tolist() == [1, 7]
    assert copies_of(np.array([0.01, 1.99]), 4).min() == 1
    assert copies_of(np.ones(3), 100).tolist() == [1, 1, 1]


def test_average_precision_counts_an_image_as_often_as_it_weighs(tmp_path):
    task = make(Detection, "cell")
    box = (0.0, 0.0, 20.0, 20.0)
    examples = [
        Example(Item(name, name, "u"), tmp_path / name, Annotation(name, boxes=(Box("cell", *box),)), (40, 40))
        for name in ("hit", "missed")
    ]
    guesses = {"hit": Annotation("hit", boxes=(Box("cell", *box, score=0.9),)), "missed": Annotation("missed")}
    plain = measure(task, examples, guesses, Strata(np.zeros(2, dtype=np.int64), np.ones(2)), 0)
    # COCO interpolates at 101 recalls: one of two boxes is found, so 51 of them have precision 1.
    assert plain.metrics["ap50"] == pytest.approx(51 / 101)
    weighted = measure(task, examples, guesses, Strata(np.array([0, 1]), np.array([1.5, 0.5])), 0)
    assert weighted.metrics["ap50"] == pytest.approx(76 / 101)  # three boxes of four
    assert weighted.metrics["map"] == pytest.approx(76 / 101)
    assert weighted.interval[0] < 76 / 101 < weighted.interval[1]


def test_one_class_has_no_accuracy(tmp_path):
    examples, guesses = labeled(tmp_path, [("cat", "cat")] * 6)
    with pytest.raises(DataError, match="one class only"):
        measure(make(Classification, "cat"), examples, guesses, make_strata(np.ones(9), np.ones(6)), 0)


def test_very_many_images_get_an_interval_without_draws(tmp_path, monkeypatch):
    examples, guesses = labeled(tmp_path, [("cat", "cat"), ("dog", "cat")] * 10)
    monkeypatch.setattr(stratified, "COPIES_OF_DRAWS", 20)
    low, high = measure(
        make(Classification, "cat", "dog"), examples, guesses, Strata(np.zeros(20, dtype=np.int64), np.ones(20)), 0
    ).interval
    assert (low, high) == pytest.approx((0.5 - 0.17253, 0.5 + 0.17253), abs=1e-4)  # Wilson's, 10 of 20


def test_the_signal_to_cut_by():
    one = {"margin": np.array([0.1, 0.2]), "class_uncertainty": np.ones((2, 3))}
    boxes = {**one, "expected_objects": np.array([1.0, 5.0])}
    assert choose_signal(Signals(["a", "b"], one)) == "margin"
    assert choose_signal(Signals(["a", "b"], {**one, "expected_objects": np.ones(2)})) == "margin"
    assert choose_signal(Signals(["a", "b"], boxes)) == "class_uncertainty"
    assert choose_signal(Signals(["a", "b"], {"predicted_loss": np.ones(2), "embedding": np.ones((2, 4))})) == (
        "predicted_loss"
    )
    assert choose_signal(Signals(["a", "b"], {"embedding": np.ones((2, 4))})) is None
    assert uncertainty(Signals(["a", "b"], boxes), "class_uncertainty").tolist() == [3, 3]


def test_unknown_and_missing_values_of_a_signal():
    signals = Signals(["a", "b", "c"], {"margin": np.array([0.5, -1.0, NAN]), "predicted_loss": np.array([-3.0, 1, 2])})
    assert np.isnan(uncertainty(signals, "margin")).tolist() == [False, True, True]
    assert uncertainty(signals, "predicted_loss").tolist() == [-3, 1, 2]
