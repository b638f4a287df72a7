"""Every reason is recomputed from the numbers that it is about."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from alcli.items import AL, Item, QueryRow
from alcli.selection import rank
from alcli.selection.reasons import PHRASES, Grounds, Reasoned, add_reasons, rare_classes
from alcli.signals import Signals
from alcli.system.tables import read

CLASSES = ("cat", "dog", "emu", "fox")
IMAGES = {"cat": 50, "dog": 40, "emu": 30, "fox": 3}
ASKED, POOL, LABELED = 40, 300, 25


NUMBER = r"(\d+) %"


def check(part: str, position: int, grounds: Grounds, asked: Sequence[int]) -> str:
    """Fail unless this part of a reason is true of the item at ``position`` of the pool; returns its first word."""
    compared = {phrase: (name, side) for name, both in PHRASES.items() for side, phrase in enumerate(both)}
    if (number := re.fullmatch(rf"(.+) {NUMBER} of the images", part)) and number[1] in compared:
        name, side = compared[number[1]]
        values = np.nan_to_num(grounds.signals[name], nan=-np.inf)
        others = values > values[position] if side else values < values[position]
        assert 100 * others.mean() == pytest.approx(int(number[2]), abs=1.01)
    elif tie := re.fullmatch(
        rf"(.+) \({NUMBER}\) or (.+) \({NUMBER}\)\?(?: \(box around {NUMBER} across, .*\))?", part
    ):
        _check_tie(tie, position, grounds)
    elif part.startswith("rare class: "):
        scores = grounds.signals["class_scores"][position]
        for name, count in re.findall(r"([^,:]+) \(in (\d+) annotated images?\)", part.removeprefix("rare class: ")):
            index = grounds.classes.index(name.strip())
            assert grounds.rare[name.strip()] == int(count)
            assert scores[index] >= grounds.seen_from or scores.argmax() == index
    elif number := re.fullmatch(r"stands for (\d+) similar images?", part):
        pool = grounds.signals["embedding"]
        others = [row for row in range(len(pool)) if row not in set(asked)]
        centers = np.concatenate([pool[list(asked)], grounds.signals.labeled["embedding"]])
        nearest = _distances(pool[others], centers).argmin(axis=1)
        assert int(number[1]) == (nearest == list(asked).index(position)).sum() > 0
    elif unlike := re.fullmatch(r"unlike all annotated images: the nearest is (.+)", part):
        labeled = grounds.signals.labeled
        distances = _distances(grounds.signals["embedding"], labeled["embedding"])
        assert grounds.items[labeled.item_ids[int(distances[position].argmin())]].name == unlike[1]
        assert (distances.min(axis=1) < distances[position].min()).mean() >= 0.74
    else:
        pytest.fail(f"nobody knows whether this is true: {part}")
    return part.split()[0]


def _check_tie(tie: re.Match[str], position: int, grounds: Grounds) -> None:
    """Two classes with their probabilities, of the image or of one box."""
    if tie[5] is None:
        scores = grounds.signals["class_scores"][position]
        pair = np.argsort(scores)[-2:]
        known = {grounds.classes[index]: 100 * scores[index] for index in pair}
    else:
        first, second, margin, across, _, score = np.asarray(grounds.signals["tie"][position], float).tolist()
        known = {grounds.classes[int(first)]: 100 * score, grounds.classes[int(second)]: 100 * (score - 1 + margin)}
        assert 100 * across == pytest.approx(int(tie[5]), abs=0.51)
    assert known == {tie[1]: pytest.approx(int(tie[2]), abs=0.51), tie[3]: pytest.approx(int(tie[4]), abs=0.51)}


def _distances(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.linalg.norm(one[:, None].astype(float) - other[None], axis=2)


class Pool:
    """Random classifications with features, and their reasons."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        scores = rng.dirichlet(np.full(4, 0.4), POOL)
        best = np.sort(scores, axis=1)
        margin = 1 - (best[:, -1] - best[:, -2])
        features, features_of_labeled = rng.normal(size=(POOL, 8)), rng.normal(size=(LABELED, 8))
        known = [f"known-{number:02}" for number in range(LABELED)]
        names = [f"i{number:03}" for number in range(POOL)]
        items = {name: Item(name, f"{name}.jpg", "u") for name in (*names, *known)}
        arrays = {"class_scores": scores, "margin": margin, "embedding": features}
        signals = Signals(names, arrays, Signals(known, {"embedding": features_of_labeled}))
        rows = [QueryRow(n + 1, items[name], 0.0, n < ASKED, AL) for n, name in enumerate(names)]
        needs = frozenset({"margin", "embedding"})
        self.grounds = Grounds(needs, signals, items, CLASSES, rare_classes(IMAGES, CLASSES))
        self.reasons = [row.reason for row in add_reasons(rows, self.grounds).rows]


@pytest.mark.parametrize("seed", range(3))
def test_each_reason_is_true_of_its_image(seed):
    pool = Pool(seed)
    kinds = {
        check(part, row, pool.grounds, range(ASKED))
        for row, reason in enumerate(pool.reasons)
        for part in reason.split("; ")
        if part
    }
    assert kinds >= {"less", "surer", "rare", "stands", "unlike"} and any(kind in CLASSES for kind in kinds)


def most_frequent(workspace: Path) -> tuple[str, float]:
    """The reason that most of the images asked for have in common, and their share."""
    rows = [row for row in read(workspace / "cycles/0001/scores.csv") if row["asked"] == "yes" and row["arm"] == "al"]
    counts = Counter(part for row in rows for part in set(row["reason"].split("; ")) if part)
    reason, count = counts.most_common(1)[0]
    return reason, count / len(rows)


class Watch:
    """Keeps what reasons were made from, and the rows that got them."""

    def __init__(self) -> None:
        self.given: list[tuple[Sequence[QueryRow], Grounds, Reasoned]] = []

    def add_reasons(self, rows: Sequence[QueryRow], grounds: Grounds) -> Reasoned:
        """The function of that name."""
        self.given.append((rows, grounds, add_reasons(rows, grounds)))
        return self.given[-1][2]

    def check(self) -> int:
        """Fail unless every reason is true of its image; returns how many parts of reasons there are."""
        ((rows, grounds, reasoned),) = self.given
        index = {item_id: position for position, item_id in enumerate(grounds.signals.item_ids)}
        asked = [index[row.item.id] for row in rows if row.asked and not row.reason]
        told = {index[row.item.id]: row.reason for row in reasoned.rows}
        parts = [(part, position) for position in asked for part in told[position].split("; ") if part]
        for part, position in parts:
            check(part, position, grounds, asked)
        return len(parts)


@pytest.mark.slow
@pytest.mark.skipif("ALCLI_DATA" not in os.environ, reason="ALCLI_DATA does not name a folder of data sets")
@pytest.mark.parametrize("name", ["bccd", "clothing"])
def test_reasons_of_photographs_are_true_and_none_stands_at_more_than_half(name, alcli, tmp_path, monkeypatch):
    watch = Watch()
    monkeypatch.setattr(rank, "add_reasons", watch.add_reasons)
    images, flags = (bccd if name == "bccd" else clothing)(Path(os.environ["ALCLI_DATA"]), tmp_path)
    weights = os.environ.get("ALCLI_WEIGHTS", "none")
    quick = ("--set", "train.epochs=3", "--set", "model.input_size=128", "--budget", 40)
    assert alcli("init", tmp_path / "W", "--images", images, "--weights", weights, *flags, *quick)[0] == 0
    assert alcli("cycle", "-w", tmp_path / "W")[0] in (0, 3)
    reason, share = most_frequent(tmp_path / "W")
    assert share <= 0.5, f"{100 * share:.0f} % say: {reason}"
    assert watch.check() >= 20


def bccd(data: Path, folder: Path) -> tuple[Path, tuple[object, ...]]:
    """A hundred annotated photographs of blood cells."""
    (folder / "xml").mkdir()
    for path in sorted((data / "bccd/BCCD/Annotations").glob("*.xml"))[:100]:
        (folder / "xml" / path.name).symlink_to(path)
    return data / "bccd/BCCD/JPEGImages", ("--annotations", folder / "xml")


def clothing(data: Path, folder: Path) -> tuple[Path, tuple[object, ...]]:
    """Every fourth photograph of clothes, a third of them annotated."""
    (folder / "photos").mkdir()
    files = sorted((data / "clothing/train").glob("*/*"))[::4]
    for path in files:
        (folder / "photos" / path.name).symlink_to(path)
    lines = [f"{path.name},{path.parent.name}" for path in files[::3]]
    (folder / "labels.csv").write_text("\n".join(["name,label", *lines, ""]))
    flags = ("--task", "classification", "--model", "mobilenet-v2", "--annotations", folder / "labels.csv")
    return folder / "photos", flags
