"""OKS average precision by pycocotools, and PCK."""

from __future__ import annotations

import contextlib
import io
import math
from collections.abc import Sequence

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from alcli.annotations import Annotation, Pose
from alcli.tasks._crops import person_box
from alcli.tasks._skeleton import torso

Pairs = Sequence[tuple[Annotation, Annotation]]
"""(what a person said, what the model said) about each image."""


def oks_ap(pairs: Pairs, joints: Sequence[str], sigmas: Sequence[float]) -> float:
    """Mean average precision over OKS 0.50:0.95; a person's area is that of its box, as no outline is known."""
    truth = [_row(pose, image, joints) for image, (said, _) in enumerate(pairs, 1) for pose in said.poses]
    found = [_row(pose, image, joints) for image, (_, said) in enumerate(pairs, 1) for pose in said.poses]
    if not found:
        return 0.0
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = {
            "images": [{"id": image} for image in range(1, len(pairs) + 1)],
            "categories": [{"id": 1, "name": "person", "keypoints": list(joints)}],
            "annotations": [{**row, "id": number, "iscrowd": 0} for number, row in enumerate(truth, 1)],
        }
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(found), "keypoints")
        evaluation.params.kpt_oks_sigmas = np.array(sigmas)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return max(float(evaluation.stats[0]), 0.0)


def pck(pairs: Pairs, joints: Sequence[str], share: float = 0.2) -> float | None:
    """Share of the marked joints found within ``share`` of the person's size (Yang & Ramanan, PAMI 2013).

    The size is the torso's diagonal from left shoulder to right hip, or from right shoulder to left hip where that
    one is not marked; people with neither do not count. Without these joints in the schema (LSP and COCO have them)
    it is the longer side of the person's box. None when nobody counts.
    """
    hits: list[bool] = []
    for truth, said in pairs:
        for pose, guess in zip(truth.poses, said.poses, strict=True):
            size = _size(pose, joints)
            if size:
                there = {joint.name: joint for joint in guess.keypoints}
                hits += [
                    math.hypot(joint.x - there[joint.name].x, joint.y - there[joint.name].y) <= share * size
                    for joint in pose.keypoints
                ]
    return sum(hits) / len(hits) if hits else None


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


def _row(pose: Pose, image: int, joints: Sequence[str]) -> dict:
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
