"""Tiny labeled drawings for every task, made in the test that needs them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from pycocotools import mask as coco_mask

from alcli.annotations import Annotation, Box, Keypoint, Mask, Polygon, Pose
from alcli.config import ModelOptions, TaskOptions
from alcli.images import inspect
from alcli.items import Item
from alcli.plugins import load
from alcli.tasks import Example, Task
from alcli.tasks import pose as pose_task
from alcli.tasks.classification import Classification
from alcli.tasks.detection import Detection
from alcli.tasks.segmentation import Segmentation

SIZE = (96, 80)
JOINTS = ("head", "left_hip", "left_shoulder", "right_hip", "right_shoulder")


@dataclass(frozen=True)
class Case:
    """How one task is tried out: its options, a drawn annotation by number, and annotations that are broken."""

    options: TaskOptions
    model: ModelOptions
    draw: Callable[[int], Annotation]
    broken: dict[str, Annotation]


def person(number: int, dx: float = 0) -> Pose:
    """A figure whose joints lie where ``picture`` paints them."""
    x, y = 20 + 3 * number + dx, 15 + 2 * number
    places = {
        "head": (x, y), "left_shoulder": (x + 8, y + 12), "right_shoulder": (x - 8, y + 12),
        "left_hip": (x + 5, y + 32), "right_hip": (x - 5, y + 32),
    }  # fmt: skip
    return Pose(
        "person", tuple(Keypoint(name, *places[name]) for name in JOINTS), Box("person", x - 12, y - 8, x + 12, y + 40)
    )


def half_mask(label: str, left: bool, pixel_id: int) -> Mask:
    """The left or the right half of a drawing."""
    pixels = np.zeros((SIZE[1], SIZE[0]), dtype=np.uint8)
    pixels[:, : SIZE[0] // 2] = left
    pixels[:, SIZE[0] // 2 :] = not left
    return Mask(label, coco_mask.encode(np.asfortranarray(pixels))["counts"].decode(), SIZE, pixel_id)


def _labels(number: int) -> Annotation:
    return Annotation(str(number), size=SIZE, labels=("ab"[number % 2],))


def _several(number: int) -> Annotation:
    return Annotation(str(number), size=SIZE, labels=(("a",), ("a", "b"), (), ("b",))[number % 4])


def _boxes(number: int) -> Annotation:
    boxes = [Box("ab"[number % 2], 10 + number, 12, 50 + number, 60), Box("a", 60, 8, 90, 40)]
    return Annotation(str(number), tuple(boxes[: 1 + number % 2]), SIZE)


def _people(number: int) -> Annotation:
    people = (person(number), person(number, 30))[: 1 + number % 2]
    return Annotation(str(number), tuple(pose.box for pose in people), SIZE, poses=people)


def _halves(number: int) -> Annotation:
    return Annotation(str(number), size=SIZE, masks=(half_mask("a", True, 0), half_mask("b", False, 1)))


OTHER_SIZE = (SIZE[1], SIZE[0])
BOX = Box("a", 1, 1, 20, 20)
CASES = {
    "classification": Case(
        Classification.Options(name="classification", classes=("a", "b")),
        ModelOptions(name="mobilenet-v2", input_size=64),
        _labels,
        {
            "no label": Annotation("x", size=SIZE),
            "labeled differently: a, b": Annotation("x", size=SIZE, labels=("a", "b")),
            "'c' is not one of a, b": Annotation("x", size=SIZE, labels=("c",)),
            "has boxes, but no labels": Annotation("x", (BOX,), SIZE),
            "annotation is for 80×96": Annotation("x", size=OTHER_SIZE, labels=("a",)),
        },
    ),
    "classification, several labels": Case(
        Classification.Options(name="classification", classes=("a", "b"), multi_label=True),
        ModelOptions(name="resnet18", input_size=64),
        _several,
        {"'c' is not one of a, b": Annotation("x", size=SIZE, labels=("a", "c"))},
    ),
    "detection": Case(
        Detection.Options(name="detection", classes=("a", "b")),
        ModelOptions(name="ssd-tiny"),
        _boxes,
        {
            "'c' is not one of a, b": Annotation("x", (Box("c", 1, 1, 5, 5),), SIZE),
            "reaches 54 pixels out": Annotation("x", (Box("a", 1, 1, 150, 20),), SIZE),
            "has labels, but no boxes": Annotation("x", size=SIZE, labels=("a",)),
            "annotation is for 80×96": Annotation("x", (BOX,), OTHER_SIZE),
        },
    ),
    "pose": Case(
        pose_task.Pose.Options(name="pose", classes=JOINTS),
        ModelOptions(name="mobilenet-v2", input_size=64),
        _people,
        {
            "boxes and keypoints are mixed": Annotation("x", (BOX, person(0).box), SIZE, poses=(person(0),)),
            "joint 'tail' is not one of": Annotation("x", size=SIZE, poses=(Pose("dog", (Keypoint("tail", 3, 3),)),)),
            "joint 'head' lies 104 pixels outside": Annotation(
                "x", size=SIZE, poses=(Pose("person", (Keypoint("head", 200, 3),)),)
            ),
            "annotation is for 80×96": Annotation("x", size=OTHER_SIZE, poses=(person(0),)),
        },
    ),
    "segmentation": Case(
        Segmentation.Options(name="segmentation", classes=("a", "b")),
        ModelOptions(name="mobilenet-v2", input_size=64),
        _halves,
        {
            "pixels of id 7": Annotation("x", size=SIZE, masks=(half_mask("", True, 7),)),
            "'c' is not one of a, b": Annotation("x", size=SIZE, polygons=(Polygon("c", ((0, 0, 9, 0, 9, 9),)),)),
            "the mask has 5×5 pixels": Annotation("x", masks=(Mask("a", "0i0", (5, 5)),)),
            "1 boxes": Annotation("x", (BOX, BOX), SIZE, polygons=(Polygon("a", ((0, 0, 9, 0, 9, 9),)),)),
            "annotation is for 80×96": Annotation("x", size=OTHER_SIZE, masks=(half_mask("a", True, 0),)),
        },
    ),
}
CASES["segmentation"].broken["2 boxes, but only 1 outlines"] = CASES["segmentation"].broken.pop("1 boxes")


def make_task(case: Case) -> Task:
    """The case's task."""
    return load("tasks", case.options.name)(case.options, case.model, case.options.classes)


def picture(path: Path, number: int) -> Path:
    """A drawing with a bright left half, a box and two figures; each number another one."""
    image = Image.new("RGB", SIZE, (40, 60, 30 + 20 * number))
    pen = ImageDraw.Draw(image)
    pen.rectangle([0, 0, SIZE[0] // 2, SIZE[1]], fill=(150, 40 + 10 * number, 60))
    pen.rectangle([10 + number, 12, 50 + number, 60], fill=(220, 220, 40 * (number % 2)))
    for pose in (person(number), person(number, 30)):
        for joint in pose.keypoints:
            pen.ellipse([joint.x - 3, joint.y - 3, joint.x + 3, joint.y + 3], fill=(255, 0, 255))
    image.save(path)
    return path


def examples(case: Case, folder: Path, count: int) -> list[Example]:
    """Labeled drawings, encoded by the case's task."""
    task = make_task(case)
    return [task.encode(*_given(folder, number), case.draw(number)) for number in range(count)]


def _given(folder: Path, number: int) -> tuple:
    path = picture(folder / f"{number}.png", number)
    return Item(str(number), path.name, path.as_uri()), path, inspect(path)
