"""Annotations in one line of words."""

from __future__ import annotations

import numpy as np

from alcli.balance import objects
from alcli.items import IGNORED, Annotation, Mask


def in_words(said: Annotation) -> str:
    """What an annotation says: ``3 × RBC, 1 × WBC``; ``cat 62 %``; ``12 joints of 1 person``; ``60 % road``."""
    if said.labels:
        scores = [f" {100 * score:.0f} %" for score in said.label_scores] or [""] * len(said.labels)
        return ", ".join(f"{label}{score}" for label, score in zip(said.labels[:3], scores, strict=False))
    if said.poses:
        joints = sum(len(pose.keypoints) for pose in said.poses)
        people = len(said.poses)
        return f"{joints} joints of {people} {said.poses[0].label if people == 1 else 'people'}"
    if said.masks:
        areas = sorted(((_area(mask), mask.label) for mask in said.masks if mask.label != IGNORED), reverse=True)
        return ", ".join(f"{100 * area:.0f} % {label}" for area, label in areas[:4])
    return ", ".join(f"{count} × {name}" for name, count in objects([said]).most_common()) or "nothing"


def decoded(mask: Mask) -> np.ndarray:
    """(height, width) uint8 of 0 and 1."""
    # Here, so that words about boxes need no pycocotools.
    from pycocotools import mask as coco_mask

    width, height = mask.size
    return np.asarray(coco_mask.decode({"size": [height, width], "counts": mask.counts.encode("ascii")}))


def _area(mask: Mask) -> float:
    return float(decoded(mask).mean())
