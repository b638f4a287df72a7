from __future__ import annotations

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from alcli.annotations import Annotation, Box, Keypoint, Mask, Polygon, Pose, object_counts, pixel_count
from alcli.errors import DataError


def test_everything_that_has_a_class_counts_and_of_a_pose_its_joints():
    counts = object_counts(
        [
            Annotation("a", (Box("cat", 0, 0, 1, 1), Box("cat", 0, 0, 1, 1)), labels=("dog",)),
            Annotation("b", polygons=(Polygon("cat", ((0, 0, 1, 0, 1, 1),)), Polygon("", ((0, 0, 1, 0, 1, 1),)))),
            Annotation("c", poses=(Pose("person", (Keypoint("nose", 1, 1),)),)),
        ]
    )
    assert counts == {"cat": 3, "dog": 1, "nose": 1}


@pytest.mark.parametrize(("counts", "why"), [("0", "it describes 0 pixels"), ("oooo", "run lengths break off")])
def test_a_mask_that_pycocotools_would_fill_with_foreign_memory_is_refused(counts, why):
    with pytest.raises(DataError, match=why):
        Mask("a", counts, (4, 3))


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 1.0])
def test_what_pycocotools_writes_describes_every_pixel(share):
    rng = np.random.default_rng(0)
    for _ in range(50):
        drawn = np.repeat(rng.random((rng.integers(1, 40), rng.integers(1, 99))) < share, 3, axis=0)
        counts = coco_mask.encode(np.asfortranarray(drawn, dtype=np.uint8))["counts"].decode()
        assert pixel_count(counts) == drawn.size


@pytest.mark.parametrize("counts", ["P", "oooooooooooo", " ", "é", "0P", "\ud800"])
def test_what_is_no_code_is_refused(counts):
    with pytest.raises(DataError, match="its run lengths"):
        pixel_count(counts)


@pytest.mark.parametrize(("counts", "described"), [("", 0), ("0", 0), ("4", 4), ("04", 4)])
def test_too_few_are_counted_as_they_are(counts, described):
    assert pixel_count(counts) == described
