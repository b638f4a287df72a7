from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alcli.errors import DataError
from alcli.items import AL, RANDOM, RECHECK, Item, QueryRow
from alcli.selection.near_duplicates import group_of, move_near_duplicates
from alcli.selection.query import CONTROL, Query, insert_rechecks, select
from alcli.signals import Signals
from alcli.strategies.learned_loss import LearnedLoss
from alcli.system.hashing import seed_of


def ranked(values: dict[str, float], budget: int = 2):
    items = {name: Item(name, name, "u") for name in values}
    signals = Signals(list(values), {"predicted_loss": np.array(list(values.values()))})
    return select(LearnedLoss(), signals, items, budget, seed=0)


def test_highest_first_and_the_budget_is_marked():
    query = ranked({"a": 0.1, "b": 3.0, "c": -2.0})
    assert [(row.rank, row.item.id, row.asked) for row in query.rows] == [
        (1, "b", True),
        (2, "a", True),
        (3, "c", False),
    ]


@given(st.dictionaries(st.text(min_size=1), st.sampled_from([0.0, 1.0, -1.0, 1e-300]), min_size=1), st.randoms())
def test_equal_scores_go_by_id_whatever_the_order_of_rows(values, random):
    shuffled = list(values.items())
    random.shuffle(shuffled)
    first, second = ranked(values), ranked(dict(shuffled))
    assert [row.item.id for row in first.rows] == [row.item.id for row in second.rows]
    expected = sorted(values, key=lambda name: (-values[name], name))
    assert [row.item.id for row in first.rows] == expected


def test_what_is_not_finite_is_left_out_by_name_never_ranked_first():
    query = ranked({"a": np.nan, "b": 1.0, "c": np.inf})
    assert [row.item.id for row in query.rows] == ["b"]
    assert {row.id: row.reason for row in query.unscored} == {
        "a": "the signal predicted_loss is not finite",
        "c": "the signal predicted_loss is not finite",
    }


def test_a_strategy_that_returns_nan_loses_the_item_not_the_run():
    class Broken(LearnedLoss):
        def score(self, signals, budget, rng):
            return np.array([np.nan, 2.0])

    items = {name: Item(name, name, "u") for name in "ab"}
    query = select(Broken(), Signals(["a", "b"], {}), items, 1, 0)
    assert [row.item.id for row in query.rows] == ["b"]
    assert [row.id for row in query.unscored] == ["a"]


def test_a_strategy_that_returns_another_shape_is_an_error():
    class Broken(LearnedLoss):
        def score(self, signals, budget, rng):
            return np.zeros((len(signals), 2))

    with pytest.raises(DataError, match=r"\(1, 2\) for 1 items"):
        select(Broken(), Signals(["a"], {}), {"a": Item("a", "a", "u")}, 1, 0)


def test_equal_scores_are_reported_and_an_empty_pool_is_no_error():
    assert ranked({"a": 1.0, "b": 1.0}).all_equal
    assert not ranked({"a": 1.0, "b": 2.0}).all_equal
    assert list(ranked({}).rows) == []
    assert len(ranked({"a": 1.0}, budget=50).rows) == 1


def test_percentile_is_the_share_of_items_behind():
    query = ranked({name: float(number) for number, name in enumerate("abcde")})
    assert [row.percentile for row in query.rows] == [100.00, 75.00, 50.00, 25.00, 0.00]


def test_seeds_depend_on_all_parts():
    assert len({seed_of(0, 1), seed_of(1, 0), seed_of(0, 1, 2), seed_of("01")}) == 4
    assert seed_of(0, "x") == seed_of(0, "x")


def test_a_share_of_the_budget_is_drawn_at_random_and_says_so():
    values = {f"i{number:03}": float(number) for number in range(100)}
    items = {name: Item(name, name, "u") for name in values}
    signals = Signals(list(values), {"predicted_loss": np.array(list(values.values()))})
    query = select(LearnedLoss(), signals, items, 20, seed=7, random_share=0.2)
    control = [row for row in query.rows if row.source == RANDOM]
    assert all(row.reason == CONTROL for row in control)
    assert sorted(row.item.id for row in query.rows) == sorted(values)
    assert [row.rank for row in query.rows] == list(range(1, 101))
    assert len(control) in (4, 5)
    assert all(row.asked for row in control)
    rest = [row.score for row in query.rows if row not in control]
    assert rest == sorted(rest, reverse=True)
    # Spread over the budget: every half of it holds its part.
    assert sum(row.rank <= 10 for row in control) in (2, 3)
    again = select(LearnedLoss(), signals, items, 20, seed=7, random_share=0.2)
    assert [row.item.id for row in again.rows] == [row.item.id for row in query.rows]


def test_control_rows_are_a_fair_sample_of_the_pool_and_keep_their_share_on_average():
    ids = [f"i{number}" for number in range(10)]
    items = {name: Item(name, name, "u") for name in ids}
    signals = Signals(ids, {"predicted_loss": np.arange(10.0)})
    counts = dict.fromkeys(ids, 0)
    for seed in range(600):
        for row in select(LearnedLoss(), signals, items, 5, seed, random_share=0.1).rows:
            counts[row.item.id] += row.source == RANDOM
    assert 250 < sum(counts.values()) < 350  # 600 lists · 5 rows · 0.1
    assert min(counts.values()) > 12


def test_labeled_rows_reach_the_strategy_in_the_order_of_their_ids_without_broken_ones():
    class Looking(LearnedLoss):
        def score(self, signals, budget, rng):
            assert signals.labeled.item_ids == ["x", "z"]
            assert signals.labeled["embedding"].tolist() == [[1.0], [3.0]]
            return np.zeros(len(signals))

    labeled = Signals(["z", "y", "x"], {"embedding": np.array([[3.0], [np.nan], [1.0]])})
    signals = Signals(["b", "a"], {"predicted_loss": np.zeros(2)}, labeled)
    assert len(select(Looking(), signals, {name: Item(name, name, "u") for name in "ab"}, 1, 0).rows) == 2


def spreadable(names, vectors=None, control=()):
    sources = [RANDOM if name in control else AL for name in names]
    pairs = zip(names, sources, strict=True)
    rows = [QueryRow(n, Item(name, name, "u"), -n, n <= 2, source) for n, (name, source) in enumerate(pairs, 1)]
    arrays = {} if vectors is None else {"embedding": np.array(vectors, np.float16)}
    return Query(rows, (), False), Signals(list(names), arrays)


def names_of(query):
    return [row.item.name for row in query.rows]


def test_near_duplicates_follow_their_leader_below_the_budget():
    query, signals = spreadable("abcd", [[1, 0], [1, 0.001], [0, 1], [1, 1]])
    found = move_near_duplicates(query, 2, signals, min_distance=0.01)
    assert names_of(found) == ["a", "c", "b", "d"]
    assert [row.rank for row in found.rows] == [1, 2, 3, 4]
    assert [row.asked for row in found.rows] == [True, True, False, False]
    assert found.put_off == 1
    assert found.rows[2].reason == "near-duplicate of a"
    assert [row.percentile for row in found.rows] == [100.00, 66.67, 33.33, 0.00]


def test_what_chance_chose_is_never_put_off():
    query, signals = spreadable("abcd", [[1, 0], [1, 0.001], [0, 1], [1, 1]], control="b")
    assert move_near_duplicates(query, 2, signals, min_distance=0.01) is query


def test_nothing_is_put_off_unless_asked_for():
    query, signals = spreadable("abcd", [[1, 0]] * 4)
    assert move_near_duplicates(query, 2, signals) is query
    assert move_near_duplicates(query, 2, spreadable("abcd")[1], min_distance=0.5) is query


def test_a_pool_of_copies_asks_for_one():
    query, signals = spreadable("abcd", [[1, 0]] * 4)
    found = move_near_duplicates(query, 2, signals, min_distance=0.01)
    assert [row.asked for row in found.rows] == [True, False, False, False]
    assert found.put_off == 3


def test_frames_of_one_video_are_a_group():
    names = ("v1_001.jpg", "v1_002.jpg", "v1_003.jpg", "v2_001.jpg", "lone.jpg")
    query, signals = spreadable(names)
    found = move_near_duplicates(query, 3, signals, per_group=1)
    assert names_of(found) == ["v1_001.jpg", "v2_001.jpg", "lone.jpg", "v1_002.jpg", "v1_003.jpg"]
    assert found.rows[3].reason == "group v1_ has its 1"
    assert group_of(Item("x", "v1_001.jpg", "u", "day")) == ("day", "v1_")
    assert group_of(Item("x", "0042.jpg", "u")) == ("", "0042")
    assert group_of(Item("x", "noending12", "u")) == ("", "noending")


@given(st.lists(st.integers(0, 3), min_size=1, max_size=12), st.integers(1, 12))
def test_spreading_loses_nobody(kinds, budget):
    names = [f"k{kind}_{place}.jpg" for place, kind in enumerate(kinds)]
    query, signals = spreadable(names, [[1.0, kind] for kind in kinds])
    found = move_near_duplicates(query, budget, signals, min_distance=1e-4, per_group=2)
    assert sorted(names_of(found)) == sorted(names)
    assert [row.rank for row in found.rows] == list(range(1, len(names) + 1))
    assert sum(row.asked for row in found.rows) <= max(budget, sum(row.asked for row in query.rows))


def test_rechecks_stand_evenly_among_what_is_asked_for_and_nothing_else_is():
    query, _ = spreadable("abcd")
    again = [QueryRow(n, Item(name, name, "u", state="labeled"), 9.0, True, RECHECK) for n, name in enumerate("xy")]
    found = insert_rechecks(query, again)
    assert names_of(found) == ["a", "x", "b", "y", "c", "d"]
    assert [row.asked for row in found.rows] == [True] * 4 + [False] * 2
    assert [row.rank for row in found.rows] == [1, 2, 3, 4, 5, 6]
    assert found.rows[0].percentile == 100
    assert insert_rechecks(query, []) is query
    assert names_of(insert_rechecks(Query((), (), False), again)) == ["x", "y"]
