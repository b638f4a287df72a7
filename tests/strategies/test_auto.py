from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from alcli.signals import Signals
from alcli.strategies.auto import Auto, class_worth, flattened
from alcli.strategies.facility_location import FacilityLocation
from alcli.strategies.herding import Herding, kernel_width

GROUPS, EACH = 8, 25
CLASSES = 2


def make_signals(objects: np.ndarray, labeled_groups: tuple[int, ...] = (), **arrays: np.ndarray) -> Signals:
    """Eight groups of likenesses, one after the other; one labeled item in each of some groups."""
    rng = np.random.default_rng(0)
    centers = np.eye(GROUPS, 16)
    groups = np.repeat(np.arange(GROUPS), EACH)
    count = len(groups)
    vectors = centers[groups] + 0.02 * rng.normal(size=(count, 16))
    defaults = {
        "embedding": vectors,
        "margin": np.full(count, 0.5),
        "class_uncertainty": np.ones((count, CLASSES)),
        "expected_objects": objects,
    }
    labeled = Signals([f"l{number}" for number in labeled_groups], {"embedding": centers[list(labeled_groups)]})
    return Signals([f"{number:03}" for number in range(count)], {**defaults, **arrays}, labeled)


def groups_of_picks(strategy, signals: Signals, budget: int) -> list[int]:
    scores = strategy.score(signals, budget, np.random.default_rng(0))
    assert np.isfinite(scores).all()
    return (np.argsort(-scores, kind="stable")[:budget] // EACH).tolist()


ONE, MANY = np.ones(GROUPS * EACH), np.linspace(1, 9, GROUPS * EACH)


@pytest.mark.parametrize("objects", [ONE, MANY], ids=["one object", "many objects"])
def test_what_a_labeled_image_covers_is_not_asked_for(objects):
    assert sorted(groups_of_picks(Auto(), make_signals(objects, (0, 1, 2)), 5)) == [3, 4, 5, 6, 7]


@pytest.mark.parametrize("strategy", [Auto, Herding, FacilityLocation])
def test_without_labels_every_group_is_asked_for_once(strategy):
    assert sorted(groups_of_picks(strategy(), make_signals(ONE), GROUPS)) == list(range(GROUPS))


def test_with_one_object_an_item_uncertain_groups_come_first():
    margin = np.where(np.arange(GROUPS * EACH) // EACH < 3, 0.9, 0.1)
    assert sorted(groups_of_picks(Auto(), make_signals(ONE, margin=margin), 3)) == [0, 1, 2]
    assert sorted(groups_of_picks(Herding(), make_signals(ONE, margin=margin), 3)) == [0, 1, 2]


@pytest.mark.parametrize(
    ("counts", "first"), [((50, 1), [0, 1, 2, 3]), ((1, 50), [4, 5, 6, 7]), (None, None), ((9, 9), None)]
)
def test_with_many_objects_classes_with_few_annotated_objects_count_more(counts, first):
    rare_groups = np.arange(GROUPS * EACH) // EACH < 4
    uncertainty = np.where(rare_groups[:, None], [0.0, 1.0], [1.0, 0.0])
    signals = replace(make_signals(MANY, class_uncertainty=uncertainty), class_counts=counts)
    picks = sorted(groups_of_picks(Auto(), signals, 4))
    assert picks == first if first else len(set(picks)) == 4


def test_the_worth_of_an_image_is_its_class_uncertainty_times_rarity():
    signals = make_signals(MANY, class_uncertainty=np.tile([2.0, 3.0], (GROUPS * EACH, 1)))
    # Mean 12: √(13 / 9) and √(13 / 17).
    expected = 2 * (13 / 9) ** 0.5 + 3 * (13 / 17) ** 0.5
    assert class_worth(replace(signals, class_counts=(8, 16))) == pytest.approx(np.full(GROUPS * EACH, expected))


@pytest.mark.parametrize("objects", [ONE, MANY], ids=["one object", "many objects"])
def test_uncertainties_that_say_nothing_leave_the_cover_of_the_pool(objects):
    silent = make_signals(objects, margin=np.zeros(GROUPS * EACH), class_uncertainty=np.zeros((GROUPS * EACH, CLASSES)))
    assert sorted(groups_of_picks(Auto(), silent, GROUPS)) == list(range(GROUPS))


@pytest.mark.parametrize(("objects", "name"), [(ONE, "margin"), (MANY, "class_uncertainty")])
def test_uncertainties_count_as_far_as_they_are_trusted(objects, name):
    loud = np.where(np.arange(GROUPS * EACH) // EACH == 7, 1.0, 0.5)
    signals = make_signals(objects, margin=loud, class_uncertainty=loud[:, None].repeat(CLASSES, axis=1))
    plain = make_signals(objects)
    assert Auto().weighs_by(signals) == name
    distrusted, unmeasured = replace(signals, trust={name: 0.0}), replace(signals, trust={})
    assert groups_of_picks(Auto(), distrusted, 8) == groups_of_picks(Auto(), unmeasured, 8)
    assert groups_of_picks(Auto(), distrusted, 8) == groups_of_picks(Auto(), plain, 8)
    assert groups_of_picks(Auto(), replace(signals, trust={name: 1.0}), 8) == groups_of_picks(Auto(), signals, 8)
    assert groups_of_picks(Auto(), signals, 1) == [7]


def test_weights_lie_between_equal_ones_and_the_worth():
    worth = np.array([0.0, 1.0, 3.0, 4.0])  # mean 2
    assert flattened(worth, 0.0).tolist() == [1, 1, 1, 1]
    assert flattened(worth, 0.5) == pytest.approx([0.5, 0.75, 1.25, 1.5])
    assert flattened(worth, 1.0) == pytest.approx([0.1, 0.5, 1.5, 2.0])
    assert flattened(np.zeros(3), 1.0).tolist() == [1, 1, 1]


def test_a_class_that_nobody_sees_or_has_annotated_changes_nothing():
    uncertainty = np.stack([np.linspace(0.1, 1, GROUPS * EACH), np.zeros(GROUPS * EACH)], axis=1)
    signals = make_signals(MANY, class_uncertainty=uncertainty)
    worth = class_worth(replace(signals, class_counts=(7, 0)))
    # Mean 3.5: √(4.5 / 8) for the first class; the second adds nothing.
    assert worth == pytest.approx(uncertainty[:, 0] * (4.5 / 8) ** 0.5)
    assert np.isfinite(Auto().score(replace(signals, class_counts=(0, 0)), 3, np.random.default_rng(0))).all()


def test_equal_embeddings_leave_the_order_of_worth():
    margin = np.linspace(0, 1, GROUPS * EACH)
    signals = make_signals(ONE, embedding=np.ones((GROUPS * EACH, 16)), margin=margin)
    scores = Auto().score(signals, 3, np.random.default_rng(0))
    # The first pick covers everything; the others follow by worth.
    assert np.argsort(-scores, kind="stable")[1:4].tolist() == [199, 198, 197]


def test_rounding_does_not_make_one_object_many():
    rounded = 1 + np.random.default_rng(0).normal(0, 1e-6, GROUPS * EACH)
    uncertain_last = np.where(np.arange(GROUPS * EACH) // EACH == 7, 0.9, 0.0)
    assert groups_of_picks(Auto(), make_signals(rounded, margin=uncertain_last), 1) == [7]


def test_the_kernel_narrows_with_the_labels():
    assert kernel_width(np.zeros((0, 3), np.float32)) == kernel_width(np.eye(3, dtype=np.float32)[:1]) == 1.0
    assert kernel_width(np.eye(3, dtype=np.float32)) == pytest.approx(2**0.5)
    assert kernel_width(np.ones((5, 3), np.float32) / 3**0.5) == pytest.approx(1e-3)
