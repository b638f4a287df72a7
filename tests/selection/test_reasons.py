from __future__ import annotations

import numpy as np

from alcli.items import AL, RANDOM, Item, QueryRow
from alcli.selection.query import CONTROL
from alcli.selection.reasons import MOST_CLASSES, TELLING, Grounds, add_reasons, rare_classes, signals_for_reasons
from alcli.signals import Signals


def reasons(arrays, asked=1, needs=None, classes=(), rare=(), labeled=None, control=()):
    ids = [f"i{n}" for n in range(len(next(iter(arrays.values()))))]
    items = {name: Item(name, f"{name}.jpg", "u") for name in [*ids, *(labeled.item_ids if labeled else ())]}
    rows = [
        QueryRow(
            n + 1,
            items[name],
            0.0,
            n < asked,
            RANDOM if n in control else AL,
            reason=CONTROL if n in control else "",
        )
        for n, name in enumerate(ids)
    ]
    grounds = Grounds(frozenset(needs or arrays), Signals(ids, arrays, labeled), items, classes, rare)
    return [row.reason for row in add_reasons(rows, grounds)]


def test_a_number_is_told_by_its_place_in_the_pool():
    found = reasons({"predicted_loss": np.arange(200.0)[::-1]})
    assert found[0] == "a larger predicted loss than 99 % of the images"
    assert found[3] == "a larger predicted loss than 98 % of the images"
    assert found[-1] == "a smaller predicted loss than 99 % of the images"


def test_what_chance_chose_stays_so_and_a_strategy_without_signals_gives_no_reason():
    found = reasons({"predicted_loss": np.array([3.0, 2.0])}, asked=2, control=(1,))
    assert found == ["a larger predicted loss than 50 % of the images", CONTROL]
    assert reasons({"predicted_loss": np.array([3.0, 2.0])}, needs={"nothing"}) == ["", ""]


def test_tied_classes_have_names_and_take_the_margins_place():
    scores = np.array([[0.02, 0.5, 0.48], [0.1, 0.1, 0.8], [0.6, 0.3, 0.1]])
    margin = np.array([0.98, 0.3, 0.7])
    found = reasons({"class_scores": scores, "margin": margin}, 3, {"margin"}, ("ant", "cat", "dog"))
    assert found[0] == "cat or dog?"
    assert found[1] == "surer of the class than for 67 % of the images"
    # Where the class scores do not make up the margin (boxes, joints, pixels) no two classes are tied.
    boxes = reasons({"class_scores": scores, "margin": margin[::-1]}, 3, {"margin"}, ("ant", "cat", "dog"))
    assert not any("?" in reason for reason in boxes)


def test_tied_classes_on_a_box_say_where_it_is_and_leave_the_margin_its_place():
    tie = np.array([[2, 0, 0.95, 0.214, 0.5], [0, 1, 0.4, 0.1, 0.1], [0, 0, 0, 0, 0]], np.float32)
    margin = np.array([0.9, 0.5, 0.1])
    found = reasons({"tie": tie, "margin": margin}, 3, {"margin"}, ("ant", "cat", "dog"))
    assert found[0] == "dog or ant? (box around 21 % across, 50 % down)"
    assert not any("?" in reason for reason in found[1:])


def test_beside_better_reasons_only_a_high_place_is_one():
    tie = np.tile(np.float32([2, 0, 0.95, 0.2, 0.5]), (8, 1))
    found = reasons({"tie": tie, "margin": np.linspace(0.9, 0.1, 8)}, 8, {"margin"}, ("ant", "cat", "dog"))
    assert [reason.count("less sure of the class than for") for reason in found] == [1, 1, 0, 0, 0, 0, 0, 0]
    alone = reasons({"margin": np.linspace(0.9, 0.1, 8)}, 8)
    assert all("of the class than for" in reason for reason in alone)


def test_far_from_everything_labeled_names_the_nearest():
    labeled = Signals(["near", "far"], {"embedding": np.array([[0.0, 0.0], [9.0, 9.0]], np.float16)})
    pool = np.array([[30.0, 30.0], [0.1, 0.0], [0.0, 0.2], [9.0, 9.1]], np.float16)
    found = reasons({"embedding": pool}, 2, labeled=labeled)
    assert found[:2] == ["far from everything labeled: nearest is far.jpg", "nearest labeled: near.jpg"]
    assert found[2:] == ["", ""]
    assert reasons({"embedding": pool}, 1)[0] == "different from the other images to annotate"
    assert reasons({"embedding": pool}, 1, labeled=labeled.take(np.zeros(2, bool)))[0] == ""


def test_rare_classes_that_the_model_sees_are_named():
    arrays = {"class_scores": np.array([[0.9, 0.3, 0.26], [0.9, 0.1, 0.1]]), "entropy": np.array([2.0, 1.0])}
    found = reasons(arrays, 2, {"entropy"}, ("car", "bicycle", "tram"), {"bicycle", "tram"})
    assert found == [
        "rare class: bicycle, tram",
        "more certain (entropy) than 50 % of the images",
    ]


def test_numbers_that_are_none_and_an_empty_pool_do_no_harm():
    assert reasons({"margin": np.array([np.nan, 1.0])}, 2)[1] == "less sure of the class than for 50 % of the images"
    assert reasons({"margin": np.zeros(0), "embedding": np.zeros(0)}, 2) == []


def test_classes_are_told_only_where_answers_are_looked_at_and_few_enough():
    assert signals_for_reasons(frozenset({"margin"}), TELLING, 10) == TELLING
    assert signals_for_reasons(frozenset({"margin"}), frozenset({"margin"}), 10) == {"margin"}
    assert signals_for_reasons(frozenset({"predicted_loss"}), TELLING, 10) == set()
    assert signals_for_reasons(frozenset({"margin"}), TELLING, MOST_CLASSES + 1) == set()


def test_a_class_is_rare_below_a_quarter_of_an_even_share():
    assert rare_classes({"a": 90, "b": 20, "c": 10}, ["a", "b", "c"]) == set()
    assert rare_classes({"a": 90, "b": 21, "c": 9}, ["a", "b", "c"]) == {"c"}
    assert rare_classes({"a": 5}, ["a", "never"]) == {"never"}
    assert rare_classes({}, ["a", "b"]) == set()
    assert rare_classes({}, []) == set()
