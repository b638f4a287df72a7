"""How many objects of each class there are, and which classes are rare."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping

from alcli.items import IGNORED, Annotation

RARE = 0.25
"""A class is rare below this part of an even share."""


def objects(annotations: Iterable[Annotation]) -> Counter[str]:
    """Labels, boxes, regions and joints by class name; of a pose its joints count, for they are what is learned."""
    counts: Counter[str] = Counter()
    for annotation in annotations:
        counts.update(annotation.labels)
        for parts in (annotation.boxes, annotation.polygons, annotation.masks):
            counts.update(part.label for part in parts)
        counts.update(joint.name for pose in annotation.poses for joint in pose.keypoints)
    counts.pop(IGNORED, None)
    return counts


def rare(counts: Mapping[str, int], classes: Collection[str]) -> frozenset[str]:
    """The classes with less than a quarter of what each would have if all were annotated as often."""
    even = sum(counts.get(name, 0) for name in classes) / max(len(classes), 1)
    return frozenset(name for name in classes if counts.get(name, 0) < RARE * even)
