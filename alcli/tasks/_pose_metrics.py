"""OKS average precision by pycocotools, and PCK."""

from __future__ import annotations

import contextlib
import io
import math
from collections.abc import Sequence

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from alcli.annotations import Annotation, Keypoint, Pose
from alcli.tasks._crops import person_box
from alcli.tasks._skeleton import torso

Pairs = Sequence[tuple[Annotation, Annotation]]
"""(annotation, prediction) of each image."""


def oks_ap(pairs: Pairs, joints: Sequence[str], sigmas: Sequence[float]) -> float:
    """Mean average precision over OKS 0.50:0.95; a person's area is that of its box."""
    truth = [_coco_keypoints(pose, image, joints) for image, (true, _) in enumerate(pairs, 1) for pose in true.poses]
    guesses = [
        _coco_keypoints(pose, image, joints) for image, (_, guess) in enumerate(pairs, 1) for pose in guess.poses
    ]
    if not guesses:
        return 0.0
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = {
            "images": [{"id": image} for image in range(1, len(pairs) + 1)],
            "categories": [{"id": 1, "name": "person", "keypoints": list(joints)}],
            "annotations": [{**person, "id": number, "iscrowd": 0} for number, person in enumerate(truth, 1)],
        }
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(guesses), "keypoints")
        evaluation.params.kpt_oks_sigmas = np.array(sigmas)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return max(float(evaluation.stats[0]), 0.0)


def pck(pairs: Pairs, joints: Sequence[str], share: float = 0.2) -> dict[str, float]:
    """``pck``: the share of the annotated joints predicted within ``share`` of the person's size; ``pck/JOINT``.

    Source: Yang & Ramanan, PAMI 2013.

    The size is the torso's diagonal from left shoulder to right hip or, if one of them is not annotated, from right
    shoulder to left hip; people with neither are skipped. In a schema without these joints (LSP and COCO have them)
    the size is the longer side of the person's box. Empty if all people are skipped.
    """
    hits: dict[str, list[bool]] = {}
    for truth, predicted in pairs:
        for pose, guess in zip(truth.poses, _in_order(truth.poses, predicted.poses), strict=True):
            size = _size(pose, joints)
            if size:
                guessed = {joint.name: joint for joint in guess.keypoints} if guess else {}
                for joint in pose.keypoints:
                    near = _distance(joint, guessed.get(joint.name)) <= share * size
                    hits.setdefault(joint.name, []).append(near)
    if not hits:
        return {}
    every = [near for of_joint in hits.values() for near in of_joint]
    return {"pck": sum(every) / len(every)} | {
        f"pck/{name}": sum(hits[name]) / len(hits[name]) for name in joints if name in hits
    }


def _in_order(true: Sequence[Pose], guesses: Sequence[Pose]) -> list[Pose | None]:
    """The guess for each person: its own if made for the person's box, else the nearest that is left, if any."""
    if len(true) == len(guesses) and all(pose.box == guess.box for pose, guess in zip(true, guesses, strict=True)):
        return list(guesses)
    left, chosen = list(guesses), list[Pose | None]()
    for pose in true:
        nearest = min(left, key=lambda guess, pose=pose: _mean_distance(pose, guess), default=None)  # type: ignore[misc]
        if nearest is not None:
            left = [guess for guess in left if guess is not nearest]
        chosen.append(nearest)
    return chosen


def _mean_distance(pose: Pose, guess: Pose) -> float:
    guessed = {joint.name: joint for joint in guess.keypoints}
    both = [joint for joint in pose.keypoints if joint.name in guessed]
    return sum(_distance(joint, guessed[joint.name]) for joint in both) / len(both) if both else math.inf


def _distance(joint: Keypoint, guessed: Keypoint | None) -> float:
    return math.hypot(joint.x - guessed.x, joint.y - guessed.y) if guessed else math.inf


def _size(pose: Pose, joints: Sequence[str]) -> float | None:
    diagonals = torso(joints)
    if not diagonals:
        box = person_box(pose)
        return max(box.x2 - box.x1, box.y2 - box.y1)
    marked = {joint.name: joint for joint in pose.keypoints}
    for first, second in diagonals:
        if first in marked and second in marked:
            return math.hypot(marked[first].x - marked[second].x, marked[first].y - marked[second].y)
    return None


def _coco_keypoints(pose: Pose, image: int, joints: Sequence[str]) -> dict:
    """A person as a COCO keypoint annotation."""
    marked = {joint.name: joint for joint in pose.keypoints}
    flat = [
        value
        for name in joints
        for value in ((marked[name].x, marked[name].y, 1 + marked[name].visible) if name in marked else (0, 0, 0))
    ]
    box = person_box(pose)
    scores = [joint.score for joint in pose.keypoints if joint.score is not None]
    return {
        "image_id": image,
        "category_id": 1,
        "keypoints": flat,
        "num_keypoints": len(marked),
        "bbox": [box.x1, box.y1, box.x2 - box.x1, box.y2 - box.y1],
        "area": (box.x2 - box.x1) * (box.y2 - box.y1),
        "score": sum(scores) / len(scores) if scores else 1.0,
    }
