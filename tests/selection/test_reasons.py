from __future__ import annotations

import numpy as np

from alcli.items import AL, RANDOM, Item, QueryRow
from alcli.selection.query import CONTROL
from alcli.selection.reasons import (
    MOST_CLASSES,
    TELLING,
    Grounds,
    add_reasons,
    classes_seen,
    rare_classes,
    signals_for_reasons,
)
from alcli.signals import Signals


def reasons(arrays, asked=1, needs=None, classes=(), rare=None, labeled=None, control=()):
    return [row.reason for row in reasoned(arrays, asked, needs, classes, rare, labeled, control).rows]


def reasoned(arrays, asked=1, needs=None, classes=(), rare=None, labeled=None, control=()):
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
    grounds = Grounds(frozenset(needs or arrays), Signals(ids, arrays, labeled), items, classes, rare or {})
    return add_reasons(rows, grounds)


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
    assert found[0] == "cat (50 %) or dog (48 %)?"
    assert found[1] == "surer than for 67 % of the images"
    # Where the class scores do not make up the margin (boxes, joints, pixels) no two classes are tied.
    boxes = reasons({"class_scores": scores, "margin": margin[::-1]}, 3, {"margin"}, ("ant", "cat", "dog"))
    assert not any("?" in reason for reason in boxes)


def test_tied_classes_on_a_box_say_where_it_is_and_leave_the_margin_its_place():
    tie = np.array([[2, 0, 0.95, 0.214, 0.5, 0.48], [0, 1, 0.4, 0.1, 0.1, 0.9], [0, 0, 0, 0, 0, 0]], np.float32)
    margin = np.array([0.9, 0.5, 0.1])
    found = reasons({"tie": tie, "margin": margin}, 3, {"margin"}, ("ant", "cat", "dog"))
    assert found[0] == "dog (48 %) or ant (43 %)? (box around 21 % across, 50 % down)"
    assert not any("?" in reason for reason in found[1:])


def test_beside_better_reasons_only_a_high_place_is_one():
    tie = np.tile(np.float32([2, 0, 0.95, 0.2, 0.5, 0.5]), (8, 1))
    tie[:, 3] += np.arange(8) / 50
    found = reasons({"tie": tie, "margin": np.linspace(0.9, 0.1, 8)}, 8, {"margin"}, ("ant", "cat", "dog"))
    assert [reason.count("less sure than for") for reason in found] == [1, 1, 0, 0, 0, 0, 0, 0]
    alone = reasons({"margin": np.linspace(0.9, 0.1, 8)}, 8)
    assert all("sure" in reason for reason in alone)


def test_an_image_stands_for_those_that_no_other_is_as_similar_to():
    pool = np.array([[0, 0], [9, 9], [0, 1], [1, 0], [1, 1], [9, 8], [5, 5.1], [5, 5]], np.float16)
    labeled = Signals(["known"], {"embedding": np.array([[5.0, 5.0]], np.float16)})
    found = reasons({"embedding": pool}, 2, labeled=labeled)
    assert found[0].split("; ")[0] == "stands for 3 similar images"
    assert found[1].split("; ")[0] == "stands for 1 similar image"
    assert found[2:] == [""] * 6
    alone = reasons({"embedding": pool}, 1)
    assert alone[0] == "stands for 7 similar images"
    assert reasons({"embedding": pool}, 1, labeled=labeled.take(np.zeros(1, bool)))[0] == alone[0]


def test_an_image_unlike_all_annotated_ones_names_the_nearest():
    labeled = Signals(["near", "far"], {"embedding": np.array([[0.0, 0.0], [9.0, 9.0]], np.float16)})
    pool = np.array([[30.0, 30.0], [0.1, 0.0], [0.0, 0.2], [9.0, 9.1], [9.1, 9]], np.float16)
    found = reasons({"embedding": pool}, 2, labeled=labeled)
    assert found[0] == "unlike all annotated images: the nearest is far.jpg"
    assert "unlike" not in found[1]


def test_rare_classes_that_the_model_sees_are_named_with_their_images():
    arrays = {"class_scores": np.array([[0.9, 0.3, 0.26], [0.9, 0.1, 0.1]]), "entropy": np.array([2.0, 1.0])}
    found = reasons(arrays, 2, {"entropy"}, ("car", "bicycle", "tram"), {"bicycle": 2, "tram": 1})
    assert found == [
        "rare class: bicycle (in 2 annotated images), tram (in 1 annotated image)",
        "more certain (entropy) than 50 % of the images",
    ]


def test_with_one_answer_for_an_image_only_the_likeliest_class_is_seen():
    arrays = {"class_scores": np.array([[0.6, 0.4], [0.3, 0.7]]), "margin": np.array([0.8, 0.6])}
    assert classes_seen(Signals(["a", "b"], arrays), [0, 1]) == {0: [0], 1: [1]}
    boxes = {"class_scores": np.array([[0.6, 0.4], [0.3, 0.7]]), "margin": np.array([0.1, 0.9])}
    assert classes_seen(Signals(["a", "b"], boxes), [0, 1]) == {0: [0, 1], 1: [1, 0]}


def test_what_more_than_half_of_the_list_shares_is_said_once():
    scores = np.tile([0.1, 0.6, 0.3], (6, 1))
    scores[4] = [0.9, 0.1, 0.0]
    arrays = {"class_scores": scores, "entropy": np.arange(6.0)[::-1]}
    result = reasoned(arrays, 6, {"entropy"}, ("ant", "cat", "dog"), {"cat": 3}, control=(5,))
    assert result.shared == ["rare class: cat (in 3 annotated images)"]
    texts = [row.reason for row in result.rows]
    assert not any("cat" in text for text in texts)
    assert texts[0] == "less certain (entropy) than 83 % of the images" and texts[5] == CONTROL


def test_numbers_that_are_none_and_an_empty_pool_do_no_harm():
    assert reasons({"margin": np.array([np.nan, 1.0])}, 2)[1] == "less sure than for 50 % of the images"
    assert reasons({"margin": np.zeros(0), "embedding": np.zeros(0)}, 2) == []


def test_classes_are_told_only_where_answers_are_looked_at_and_few_enough():
    assert signals_for_reasons(frozenset({"margin"}), TELLING, 10) == TELLING
    assert signals_for_reasons(frozenset({"margin"}), frozenset({"margin"}), 10) == {"margin"}
    assert signals_for_reasons(frozenset({"predicted_loss"}), TELLING, 10) == set()
    assert signals_for_reasons(frozenset({"margin"}), TELLING, MOST_CLASSES + 1) == set()


def test_a_class_is_rare_in_less_than_a_quarter_of_the_images_of_a_mean_class():
    assert rare_classes({"a": 90, "b": 20, "c": 10}, ["a", "b", "c"]) == {}
    assert rare_classes({"a": 90, "b": 21, "c": 9}, ["a", "b", "c"]) == {"c": 9}
    assert rare_classes({"a": 5}, ["a", "never"]) == {"never": 0}
    assert rare_classes({}, ["a", "b"]) == {}
    assert rare_classes({}, []) == {}
