"""Every reason is recomputed from the numbers that it is about."""

from __future__ import annotations

import os
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from alcli.items import AL, Item, QueryRow
from alcli.selection.reasons import Grounds, add_reasons, rare_classes
from alcli.signals import Signals
from alcli.system.tables import read

CLASSES = ("cat", "dog", "emu", "fox")
IMAGES = {"cat": 50, "dog": 40, "emu": 30, "fox": 3}
ASKED, POOL, LABELED = 40, 300, 25


class Pool:
    """Random classifications with features, and their reasons."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        scores = rng.dirichlet(np.full(4, 0.4), POOL)
        best = np.sort(scores, axis=1)
        self.scores, self.margin = scores, 1 - (best[:, -1] - best[:, -2])
        self.features, self.known = rng.normal(size=(POOL, 8)), rng.normal(size=(LABELED, 8))
        known = [f"known-{number:02}" for number in range(LABELED)]
        names = [f"i{number:03}" for number in range(POOL)]
        items = {name: Item(name, f"{name}.jpg", "u") for name in (*names, *known)}
        arrays = {"class_scores": scores, "margin": self.margin, "embedding": self.features}
        signals = Signals(names, arrays, Signals(known, {"embedding": self.known}))
        rows = [QueryRow(n + 1, items[name], 0.0, n < ASKED, AL) for n, name in enumerate(names)]
        needs = frozenset({"margin", "embedding"})
        grounds = Grounds(needs, signals, items, CLASSES, rare_classes(IMAGES, CLASSES))
        self.reasons = [row.reason for row in add_reasons(rows, grounds).rows]

    def check(self, row: int, part: str) -> str:
        """Fail unless this part of a reason is true of the row; returns its kind."""
        if found := re.fullmatch(r"(less sure|surer) than for (\d+) % of the images", part):
            others = self.margin < self.margin[row] if found[1] == "less sure" else self.margin > self.margin[row]
            assert 100 * others.mean() == pytest.approx(int(found[2]), abs=1.01)
        elif found := re.fullmatch(r"(\w+) \((\d+) %\) or (\w+) \((\d+) %\)\?", part):
            for name, percent in ((found[1], found[2]), (found[3], found[4])):
                assert 100 * self.scores[row, CLASSES.index(name)] == pytest.approx(int(percent), abs=0.51)
            assert {found[1], found[3]} == {CLASSES[index] for index in np.argsort(self.scores[row])[-2:]}
        elif part == "rare class: fox (in 3 annotated images)":
            assert self.scores[row].argmax() == CLASSES.index("fox")
        elif found := re.fullmatch(r"stands for (\d+) similar images?", part):
            centers = np.concatenate([self.features[:ASKED], self.known])
            nearest = self._distances(self.features[ASKED:], centers).argmin(axis=1)
            assert int(found[1]) == (nearest == row).sum() > 0
        elif found := re.fullmatch(r"unlike all annotated images: the nearest is known-(\d\d)\.jpg", part):
            distances = self._distances(self.features, self.known)
            assert distances[row].argmin() == int(found[1])
            assert (distances.min(axis=1) < distances[row].min()).mean() >= 0.74
        else:
            pytest.fail(f"nobody knows whether this is true: {part}")
        return part.split()[0]

    @staticmethod
    def _distances(one: np.ndarray, other: np.ndarray) -> np.ndarray:
        return np.linalg.norm(one[:, None] - other[None], axis=2)


@pytest.mark.parametrize("seed", range(3))
def test_each_reason_is_true_of_its_image(seed):
    pool = Pool(seed)
    kinds = {pool.check(row, part) for row, reason in enumerate(pool.reasons) for part in reason.split("; ") if part}
    assert kinds >= {"less", "surer", "rare", "stands", "unlike"} and any(kind in CLASSES for kind in kinds)


def most_frequent(workspace: Path) -> tuple[str, float]:
    """The reason that most of the images asked for have in common, and their share."""
    rows = [row for row in read(workspace / "cycles/0001/scores.csv") if row["asked"] == "yes" and row["arm"] == "al"]
    counts = Counter(part for row in rows for part in set(row["reason"].split("; ")) if part)
    reason, count = counts.most_common(1)[0]
    return reason, count / len(rows)


@pytest.mark.slow
@pytest.mark.skipif("ALCLI_DATA" not in os.environ, reason="ALCLI_DATA does not name a folder of data sets")
@pytest.mark.parametrize("name", ["bccd", "clothing"])
def test_no_reason_stands_at_more_than_half_of_the_images(name, alcli, tmp_path):
    images, flags = (bccd if name == "bccd" else clothing)(Path(os.environ["ALCLI_DATA"]), tmp_path)
    weights = os.environ.get("ALCLI_WEIGHTS", "none")
    quick = ("--set", "train.epochs=3", "--set", "model.input_size=128", "--budget", 40)
    assert alcli("init", tmp_path / "W", "--images", images, "--weights", weights, *flags, *quick)[0] == 0
    assert alcli("cycle", "-w", tmp_path / "W")[0] in (0, 3)
    reason, share = most_frequent(tmp_path / "W")
    assert share <= 0.5, f"{100 * share:.0f} % say: {reason}"


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
