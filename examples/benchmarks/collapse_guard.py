"""How often the guard against a collapsed model gives a false alarm, and what it finds.

    python examples/benchmarks/collapse_guard.py --runs 2000

Both rules are tried: that the 90 % intervals do not overlap, and the comparison on the same held-out images.

* drawn: two models that are right on each image with a given probability; most images are hard or easy for both.
* boxes: two detectors whose boxes scatter around the truth in the same way, with pycocotools.
* digits: a logistic regression on handwritten digits, trained anew each night with 30 images more and held-out images
  that grow with them, as a team would see it. Here later models are better as a rule, and may be worse by chance.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from alcli import plugins
from alcli.annotations import Annotation, Box
from alcli.config import ModelOptions
from alcli.curves.collapse import LEAST_LOSS, is_clearly_worse, is_worse_on_same_images
from alcli.engine.exchange import compare_on_same_images
from alcli.items import LABELED, Item
from alcli.tasks import Example
from alcli.workspace.measurements import Measurement, SameImages

SIZE = (100, 100)


class Share:
    """A stand-in for a task: the metric is the share of images that are right."""

    def evaluate(self, examples: Sequence[Example], predictions: Sequence[Annotation]) -> dict[str, float]:
        """The share of predictions with the label "yes"."""
        return {"top1": sum(prediction.labels == ("yes",) for prediction in predictions) / len(predictions)}


def examples_of(count: int) -> list[Example]:
    """That many images without content."""
    return [example(str(number)) for number in range(count)]


def example(name: str, *boxes: Box) -> Example:
    """An annotated image that has no file."""
    item = Item(name, f"{name}.png", f"file:///{name}.png", state=LABELED)
    return Example(item, Path(item.name), Annotation(name, boxes, SIZE), SIZE)


def answers(right: np.ndarray) -> dict[str, Annotation]:
    """Predictions that are right or wrong."""
    words = np.where(right, "yes", "no").tolist()
    return {f"{number}": Annotation(f"{number}", labels=(word,)) for number, word in enumerate(words)}


def alarms(task: object, examples: Sequence[Example], new: dict, before: dict, seed: int) -> tuple[bool, bool]:
    """(the intervals do not overlap, worse on the same images)."""
    count = len(examples)
    measured = [
        Measurement("", count, float(count), task.evaluate(examples, [each[row.item.id] for row in examples]))
        for each in (new, before)
    ]
    pair = compare_on_same_images(task, examples, new, before, LEAST_LOSS, seed)
    same = pair is not None and is_worse_on_same_images(SameImages(pair.images, pair.new, pair.before, pair.p))
    return is_clearly_worse(*measured), same


def drawn(count: int, quality: float, loss: float, runs: int) -> np.ndarray:
    """(2,) share of alarms of both rules; the new model is worse by ``loss``."""
    total = np.zeros(2)
    for seed in range(runs):
        rng = np.random.default_rng(seed)
        # The chance to be right differs by image: beta, most mass near 0 and 1.
        ease = rng.beta(quality, 1 - quality, count)
        right = [rng.random(count) < ease for _ in range(2)]
        right[0] &= rng.random(count) >= loss / quality
        total += alarms(Share(), examples_of(count), answers(right[0]), answers(right[1]), seed)
    return total / runs


def boxes(count: int, scatter: tuple[float, float], runs: int) -> np.ndarray:
    """(2,) the same for mAP, with detectors whose boxes are ``scatter`` pixels off (new, before)."""
    detection = plugins.load("tasks", "detection")
    task = detection(detection.Options(name="detection"), ModelOptions(name="ssd-tiny", weights="none"), ("a", "b"))
    total = np.zeros(2)
    for seed in range(runs):
        rng = np.random.default_rng(seed)
        examples, new, before = [], {}, {}
        for number in range(count):
            truth = [draw_box(rng, None, 0.0) for _ in range(rng.integers(1, 6))]
            examples.append(example(str(number), *truth))
            blur = rng.gamma(2, 0.5)  # of this image, for both
            for predictions, pixels in ((new, scatter[0]), (before, scatter[1])):
                seen = tuple(draw_box(rng, box, pixels * blur) for box in truth if rng.random() < 0.9)
                predictions[str(number)] = Annotation(str(number), seen, SIZE)
        total += alarms(task, examples, new, before, seed)
    return total / runs


def draw_box(rng: np.random.Generator, around: Box | None, pixels: float) -> Box:
    """A new box, or one near another, with a score."""
    if around is None:
        x, y = rng.uniform(0, 60, 2)
        return Box("ab"[rng.integers(2)], x, y, x + rng.uniform(10, 40), y + rng.uniform(10, 40))
    shift = rng.normal(0, pixels, 4)
    x, y = np.clip([around.x1 + shift[0], around.y1 + shift[1]], 0, 98)
    right, low = np.clip([around.x2 + shift[2], around.y2 + shift[3]], [x + 1, y + 1], 100)
    return Box(around.label, float(x), float(y), float(right), float(low), score=float(rng.uniform(0.3, 1)))


def digits(labels: int, runs: int, broken: bool = False) -> np.ndarray:
    """(2,) the same for two consecutive nights; the second training of a broken night has a third of wrong labels."""
    data = load_digits()
    total = np.zeros(2)
    for seed in range(runs):
        rng = np.random.default_rng(seed)
        order = rng.permutation(len(data.target))[: labels + 30]
        held = rng.random(len(order)) < 0.2
        right = []
        for end in (labels, labels + 30):
            rows = order[:end][~held[:end]]
            targets = data.target[rows].copy()
            if broken and end > labels:
                wrong = rng.random(len(rows)) < 1 / 3
                targets[wrong] = rng.integers(0, 10, wrong.sum())
            model = LogisticRegression(max_iter=200).fit(data.data[rows] / 16, targets)
            right.append(model.predict(data.data[order[held]] / 16) == data.target[order[held]])
        total += alarms(Share(), examples_of(int(held.sum())), answers(right[1]), answers(right[0]), seed)
    return total / runs


def show(name: str, shares: np.ndarray) -> None:
    """One line."""
    print(f"| {name} | {100 * shares[0]:.1f} % | {100 * shares[1]:.1f} % |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=2000)
    runs = parser.parse_args().runs
    print("| case | intervals apart | same images |\n|---|---|---|")
    for loss in (0.0, 0.1, 0.2, 0.3):
        for count in (12, 25, 50, 100, 300):
            show(f"drawn: {count} images, right 80 %, {100 * loss:.0f} points worse", drawn(count, 0.8, loss, runs))
    for broken in (False, True):
        for labels in (100, 200, 400):
            what = "a third of the labels wrong" if broken else "as usual"
            show(f"digits: {labels} annotated, {what}", digits(labels, max(runs // 4, 1), broken))
    for scatter in ((3.0, 3.0), (5.0, 3.0), (8.0, 3.0)):
        for count in (15, 40):
            what = f"boxes: {count} images, {scatter[0]:g} pixels off against {scatter[1]:g}"
            show(what, boxes(count, scatter, max(runs // 20, 1)))


if __name__ == "__main__":
    main()
