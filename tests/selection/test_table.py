"""`alcli.rank`: the same selection as a workspace's, from arrays; and every bad input by name."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import alcli
from alcli.errors import DataError, UsageError
from alcli.items import Item
from alcli.selection.query import select
from alcli.signals import Signals
from alcli.strategies import make_strategy

NAMES = [f"img_{number:03}.jpg" for number in range(60)]
EXAMPLE = Path(__file__).parents[2] / "examples" / "rank_from_python.py"


def arrays(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(60, 8)).astype(np.float32), rng.dirichlet(np.ones(4), 60)


EMBEDDINGS, PROBABILITIES = arrays()
BOTH = {"names": NAMES, "embeddings": EMBEDDINGS, "probabilities": PROBABILITIES}


def test_the_table_has_every_unlabeled_name_once_best_first() -> None:
    table = alcli.rank(**BOTH, labeled=NAMES[:10], budget=5)
    assert list(table.columns) == ["name", "rank", "score", "reason"]
    assert list(table["rank"]) == list(range(1, 51)) and set(table["name"]) == set(NAMES[10:])
    assert table["score"].is_monotonic_decreasing and table["reason"].str.len().min() > 0


def test_margin_is_that_of_the_probabilities() -> None:
    two = np.array([[0.5, 0.5, 0], [0.9, 0.1, 0], [0.6, 0.3, 0.1]])
    table = alcli.rank(names=["a", "b", "c"], probabilities=two, strategy="margin")
    assert list(table["name"]) == ["a", "c", "b"] and table["score"].tolist() == pytest.approx([1, 0.7, 0.2])
    entropy = alcli.rank(names=["a", "b", "c"], probabilities=two, strategy="entropy").set_index("name")["score"]
    assert entropy.to_dict() == pytest.approx({"a": 0.6931472, "b": 0.3250830, "c": 0.8979457})
    least = alcli.rank(names=["a", "b", "c"], probabilities=two, strategy="least-confidence").set_index("name")["score"]
    assert least.to_dict() == pytest.approx({"a": 0.5, "b": 0.1, "c": 0.4})


@pytest.mark.parametrize("strategy", ["auto", "core-set", "badge", "typiclust", "clue", "diverse:margin", "herding"])
def test_the_order_is_that_of_the_selection(strategy: str) -> None:
    table = alcli.rank(**BOTH, labeled=NAMES[:10], budget=7, strategy=strategy, seed=3)
    entropy = -(PROBABILITIES * np.log(PROBABILITIES)).sum(axis=1)
    ordered = np.sort(PROBABILITIES, axis=1)
    signals = Signals(
        NAMES,
        {
            "embedding": EMBEDDINGS,
            "margin": 1 - (ordered[:, -1] - ordered[:, -2]),
            "entropy": entropy,
            "class_scores": PROBABILITIES,
            "class_uncertainty": entropy[:, None] * PROBABILITIES,
            "expected_objects": np.ones(60),
        },
    )
    pool = signals.take(np.arange(10, 60))
    labeled = signals.only({"embedding"}).take(np.arange(10))
    chosen = make_strategy(strategy)
    pool = Signals(pool.item_ids, pool.only(chosen.needs).arrays, labeled)
    items = {name: Item(name, name, "") for name in NAMES}
    rows = select(chosen, pool, items, 7, 3).rows
    assert list(table["name"].head(7)) == [row.item.name for row in rows[:7]]


def test_the_order_of_the_names_does_not_matter() -> None:
    turned = np.random.default_rng(5).permutation(60)
    first = alcli.rank(**BOTH, labeled=NAMES[:9], budget=6)
    second = alcli.rank(
        names=[NAMES[row] for row in turned],
        embeddings=EMBEDDINGS[turned],
        probabilities=PROBABILITIES[turned],
        labeled=set(NAMES[:9]),
        budget=6,
    )
    pd.testing.assert_frame_equal(first, second)


def test_auto_takes_what_there_is() -> None:
    only_vectors = alcli.rank(names=NAMES, embeddings=EMBEDDINGS, budget=5)
    cover = alcli.rank(names=NAMES, embeddings=EMBEDDINGS, budget=5, strategy="facility-location")
    pd.testing.assert_frame_equal(only_vectors, cover)
    only_answers = alcli.rank(names=NAMES, probabilities=PROBABILITIES, budget=5)
    pd.testing.assert_frame_equal(
        only_answers, alcli.rank(names=NAMES, probabilities=PROBABILITIES, budget=5, strategy="margin")
    )


def test_signals_of_ones_own_and_tables_of_pandas() -> None:
    loss = pd.Series(range(60))
    table = alcli.rank(names=pd.Series(NAMES), signals={"predicted_loss": loss}, strategy="learned-loss", labeled=[])
    assert list(table["name"]) == NAMES[::-1] and table["score"].iloc[0] == 59
    assert "larger predicted loss" in table["reason"].iloc[0]


def test_without_a_budget_a_tenth_is_asked_for() -> None:
    pd.testing.assert_frame_equal(alcli.rank(**BOTH), alcli.rank(**BOTH, budget=10))
    assert len(alcli.rank(names=NAMES[:3], embeddings=EMBEDDINGS[:3])) == 3


def with_nan() -> np.ndarray:
    broken = EMBEDDINGS.copy()
    broken[7, 2] = np.nan
    return broken


BAD = {
    "embeddings has 59 rows for 60 names": {"embeddings": EMBEDDINGS[:59]},
    "embeddings: 1 row with NaN or infinity, such as img_007.jpg": {"embeddings": with_nan()},
    "embeddings has the shape (60,), expected (n, columns)": {"embeddings": np.ones(60)},
    "embeddings is not an array of numbers": {"embeddings": [["x"]] * 60},
    "'img_000.jpg' has values outside [0, 1]. Are these logits?": {"probabilities": PROBABILITIES * 9 - 3},
    "the row of 'img_000.jpg' sums to 0.5, expected 1": {"probabilities": PROBABILITIES / 2},
    "probabilities has 61 rows for 60 names": {"probabilities": np.vstack([PROBABILITIES, PROBABILITIES[:1]])},
    "labeled: 1 name not among the names, such as 'img_0O1.jpg'": {"labeled": ["img_0O1.jpg", NAMES[3]]},
    "labeled: np.True_ is not a name": {"labeled": np.ones(60, bool)},
    "names: 'img_000.jpg' occurs 2 times": {"names": [*NAMES[:59], NAMES[0]]},
    "names[0] is 0, expected a text": {"names": list(range(60))},
    "Every image is labeled": {"labeled": NAMES},
}


@pytest.mark.parametrize("message", BAD)
def test_bad_data_is_named(message: str) -> None:
    with pytest.raises(DataError) as refused:
        alcli.rank(**{**BOTH, **BAD[message]})
    # numpy 1 and 2 write a truth value in two ways.
    assert message.replace("np.True_", "True") in refused.value.what.replace("np.True_", "True")


WRONG = {
    "The budget 61 exceeds the 60 unlabeled images": {"budget": 61},
    "budget is 0": {"budget": 0},
    "budget is 2.5": {"budget": 2.5},
    "Unknown strategy 'coreset'": {"strategy": "coreset"},
    "The strategy learned-loss needs predicted_loss": {"strategy": "learned-loss"},
    "The strategy badge needs class_scores": {"strategy": "badge", "probabilities": None},
    "The strategy core-set needs embedding": {"strategy": "core-set", "embeddings": None},
    "There is nothing to rank by": {"embeddings": None, "probabilities": None},
    "there is no signal 'entropi'": {"signals": {"entropi": np.ones(60)}},
    "The signal 'margin' is given twice": {"signals": {"margin": np.ones(60)}},
}


@pytest.mark.parametrize("message", WRONG)
def test_wrong_requests_are_named(message: str) -> None:
    with pytest.raises(UsageError) as refused:
        alcli.rank(**{**BOTH, **WRONG[message]})
    assert message in refused.value.what and refused.value.do


def test_a_typing_error_in_labeled_gets_a_suggestion() -> None:
    with pytest.raises(DataError) as refused:
        alcli.rank(**BOTH, labeled=["img_0O1.jpg"])
    assert "img_001.jpg" in refused.value.do


def test_logits_are_told_what_to_do() -> None:
    with pytest.raises(DataError) as refused:
        alcli.rank(names=["a"], probabilities=[[3.0, -1.0]])
    assert "softmax" in refused.value.do


def test_the_example_runs(alcli, workspace: Path) -> None:
    assert alcli("cycle", "-w", workspace)[0] == 0
    done = subprocess.run(
        [sys.executable, EXAMPLE, workspace], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    rates = {line.split(":")[0]: float(line.split()[1].rstrip("%")) for line in lines if "% right" in line}
    assert rates["alcli"] > rates["chance"] > 60
    assert any("labeled" in line and line.split()[-1] == "8" for line in lines)


def test_only_numbers_speak_for_images_below_the_budget() -> None:
    by_place = alcli.rank(**BOTH, labeled=NAMES[:10], budget=5, strategy="core-set")
    assert (by_place["reason"][5:] == "").all() and (by_place["reason"][:5] != "").any()
    by_doubt = alcli.rank(**BOTH, labeled=NAMES[:10], budget=5, strategy="entropy")
    assert by_doubt["reason"][5:].str.contains("% of the images").all()
