from __future__ import annotations

from alcli.balance import objects, rare
from alcli.items import Annotation, Box, Keypoint, Polygon, Pose


def test_everything_that_has_a_class_counts_and_of_a_pose_its_joints():
    counts = objects(
        [
            Annotation("a", (Box("cat", 0, 0, 1, 1), Box("cat", 0, 0, 1, 1)), labels=("dog",)),
            Annotation("b", polygons=(Polygon("cat", ((0, 0, 1, 0, 1, 1),)), Polygon("", ((0, 0, 1, 0, 1, 1),)))),
            Annotation("c", poses=(Pose("person", (Keypoint("nose", 1, 1),)),)),
        ]
    )
    assert counts == {"cat": 3, "dog": 1, "nose": 1}


def test_a_class_is_rare_below_a_quarter_of_an_even_share():
    assert rare({"a": 90, "b": 20, "c": 10}, ["a", "b", "c"]) == set()
    assert rare({"a": 90, "b": 21, "c": 9}, ["a", "b", "c"]) == {"c"}
    assert rare({"a": 5}, ["a", "never"]) == {"never"}
    assert rare({}, ["a", "b"]) == set()
    assert rare({}, []) == set()
