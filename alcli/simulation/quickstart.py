"""An annotation project in a minute: scenes of real handwritten digits, and annotators who know the answers.

The digits come from scikit-learn (Alpaydin & Kaynak, 1998). Some classes are rare, sizes differ, and there is clutter
that resembles digits, so that some scenes are more informative than others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from alcli.annotations import Annotation, Box
from alcli.artifacts.predictor import load_predictor
from alcli.artifacts.trainings import newest_training
from alcli.context import Context
from alcli.cycle import CycleResult, run_cycle
from alcli.formats import voc
from alcli.items import ImageFacts, Item, path_to_uri
from alcli.system.progress import Progress
from alcli.system.text import quantity
from alcli.tasks import Example, Task
from alcli.workspace import Workspace

SIDE = 160
START, BUDGET, POOL, TEST = 60, 60, 300, 60
RARITY = 0.75
"""Frequency of each digit relative to the previous one: 0 is common, 9 is rare."""
SETTINGS: dict[str, Any] = {
    "task.name": "detection",
    "task.classes": [str(digit) for digit in range(10)],
    "model.name": "ssd-tiny",
    "model.weights": "none",
    "train.epochs": 40,
    "train.min_steps": 0,
    "train.batch_size": 8,
    "train.learning_rate": 3e-3,
    "train.augment": "none",  # a mirrored digit is a different symbol
    "train.init": "scratch",
    "selection.budget": BUDGET,
}


@dataclass(frozen=True)
class Project:
    """The folders of the example: images, annotations, the annotators' answers, and a separate test set."""

    root: Path

    @property
    def images(self) -> Path:
        """The photographs to annotate."""
        return self.root / "images"

    @property
    def annotations(self) -> Path:
        """The annotations so far."""
        return self.root / "annotations"

    @property
    def answers(self) -> Path:
        """The annotations that the annotators will make."""
        return self.root / "answers"

    @property
    def test(self) -> Path:
        """Scenes outside the pool, to evaluate on."""
        return self.root / "test"


def make_project(root: Path, seed: int = 0) -> Project:
    """Draw the scenes and write the first annotations; the same seed draws the same scenes."""
    project = Project(root)
    for folder in (project.images, project.annotations, project.answers, project.test):
        folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    digits, values = _digits()
    for number in range(POOL + TEST):
        name = f"scene_{number:04d}"
        picture, annotation = _scene(name + ".jpg", digits, values, rng)
        if number >= POOL:
            _save(picture, annotation, project.test, project.test, name)
        else:
            _save(picture, annotation, project.images, project.annotations if number < START else project.answers, name)
    return project


def make_workspace(project: Project) -> Workspace:
    """Create a workspace next to the images, ready for ``alcli cycle``; raises UsageError if there is one."""
    settings = {
        "platform.name": "folder",
        "platform.images": "images",
        "platform.annotations": "annotations",
        "platform.queue": "queue.csv",
        **SETTINGS,
    }
    return Workspace.create(project.root, settings)


def run(
    project: Project, workspace: Workspace, progress: Progress, report: Callable[[CycleResult], None]
) -> list[tuple[CycleResult, float]]:
    """Run two cycles with annotation in between; returns each cycle and its mAP on the test scenes."""
    outcomes = []
    for turn in range(2):
        with workspace.lock():
            context = Context(workspace, workspace.configuration(), progress)
            if turn:
                answer(context, project)
            result = run_cycle(context)
            report(result)
            outcomes.append((result, _test_map(context, result, project)))
    return outcomes


def answer(context: Context, project: Project) -> list[str]:
    """Annotate the requested images of the queue; returns their names."""
    asked = [queued.name for queued in context.platform.queue() if queued.asked]
    context.progress.say(
        f"The annotators take the first {quantity(len(asked), 'image')} of the queue: {asked[0]}, {asked[1]}, …"
    )
    for name in asked:
        xml = Path(name).with_suffix(".xml").name
        (project.answers / xml).replace(project.annotations / xml)
    return asked


def _test_map(context: Context, result: CycleResult, project: Project) -> float:
    predictor = load_predictor(context, newest_training(context, result.number or 0))
    examples = _test_examples(predictor.task, project)
    return predictor.task.evaluate(examples, predictor.predictions(examples))["map"]


def _test_examples(task: Task, project: Project) -> list[Example]:
    names = sorted(path.name for path in project.test.glob("*.jpg"))
    labels = voc.Voc(project.test)
    labels.labeled(names)
    facts = ImageFacts("", SIDE, SIDE)
    items = [Item(name, name, path_to_uri(project.test / name)) for name in names]
    return [task.encode(item, project.test / item.name, facts, labels.read(item.name)) for item in items]


def _digits() -> tuple[np.ndarray, np.ndarray]:
    """Gray values (n, 8, 8) in [0, 1] and digits (n,)."""
    from sklearn.datasets import load_digits

    data = load_digits()
    return data.images / 16.0, data.target


def _scene(
    name: str, digits: np.ndarray, values: np.ndarray, rng: np.random.Generator
) -> tuple[Image.Image, Annotation]:
    picture = _background(rng)
    boxes: list[Box] = []
    for _ in range(int(rng.integers(3, 12))):
        share = RARITY ** np.arange(10)
        value = int(rng.choice(10, p=share / share.sum()))
        shape = digits[rng.choice(np.flatnonzero(values == value))]
        corner, side = rng.integers(0, SIDE - 24, 2), int(rng.integers(24, 64))
        box = _paste(picture, shape, int(corner[0]), int(corner[1]), side, str(value), boxes, rng)
        boxes += [box] if box else []
    noise = rng.normal(0, rng.uniform(2, 14), (SIDE, SIDE, 3))
    pixels = np.clip(np.asarray(picture, dtype=np.float64) + noise, 0, 255).astype(np.uint8)
    return Image.fromarray(pixels), Annotation(name, tuple(boxes), (SIDE, SIDE))


def _background(rng: np.random.Generator) -> Image.Image:
    """A blurred colored background with strokes that are not digits."""
    coarse = rng.integers(20, 130, (5, 5, 3), dtype=np.uint8)
    picture = Image.fromarray(coarse).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(picture)
    for _ in range(int(rng.integers(0, 7))):
        x, y = rng.integers(0, SIDE, 2).tolist()
        reach = rng.integers(-30, 30, 4).tolist()
        ink = tuple(rng.integers(90, 220, 3).tolist())
        draw.line([(x, y), (x + reach[0], y + reach[1]), (x + reach[2], y + reach[3])], fill=ink, width=3)
    return picture.filter(ImageFilter.GaussianBlur(0.8))


def _paste(
    picture: Image.Image,
    shape: np.ndarray,
    x: int,
    y: int,
    side: int,
    label: str,
    boxes: Sequence[Box],
    rng: np.random.Generator,
) -> Box | None:
    """Paste one digit into the picture; None if it would overlap another or exceed the picture."""
    ink = Image.fromarray((shape * 255).astype(np.uint8)).resize((side, side), Image.Resampling.BICUBIC)
    left, top, right, bottom = ink.point(lambda value: 255 * (value > 60)).getbbox() or (0, 0, side, side)
    box = Box(label, x + left, y + top, x + right, y + bottom)
    if x + side > SIDE or y + side > SIDE or any(_overlap(box, other) for other in boxes):
        return None
    color = Image.new("RGB", (side, side), tuple(rng.integers(150, 256, 3).tolist()))
    picture.paste(color, (x, y), ink)
    return box


def _overlap(a: Box, b: Box) -> bool:
    return a.x1 < b.x2 and b.x1 < a.x2 and a.y1 < b.y2 and b.y1 < a.y2


def _save(picture: Image.Image, annotation: Annotation, images: Path, labels: Path, name: str) -> None:
    picture.save(images / f"{name}.jpg", quality=90)
    voc.write(labels / f"{name}.xml", f"{name}.jpg", annotation)
