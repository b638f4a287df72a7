"""YOLO rows whose columns nothing describes: the values of all rows say what they mean, or one message asks."""

from __future__ import annotations

import numpy as np
import pytest

from alcli.annotations import Keypoint
from tests.test_field_cases import CAT_LINE, HEIGHT, WIDTH, Case, case, cats, coco

__all__ = ["case"]

NAMES = "train: images\nnames: [cat, dog]\n"
PERSON = "train: images\nnames: [person]\n"
BOX = f"0 {CAT_LINE}"
HEAD, TAIL = (19.2, 19.2), (38.4, 32.0)


def labels(case: Case, description: str, *texts: str) -> Case:
    for number, text in enumerate(texts):
        name = "abcdefghijklmnopqrstuvwxyz"[number]
        case.picture(f"images/{name}.jpg").text(f"ann/labels/{name}.txt", text)
    return case.text("ann/data.yaml", description)


def joints(count: int, dimensions: int, visibility: str = "2") -> str:
    """Head, tail, head, tail … of the cat."""
    pairs = [f"{x / WIDTH} {y / HEIGHT}" for x, y in (HEAD, TAIL)]
    return "".join(f" {pairs[i % 2]}{' ' + visibility if dimensions == 3 else ''}" for i in range(count))


def poses(case: Case) -> dict[str, list[tuple]]:
    return {
        name: [
            (joint.name, round(joint.x, 3), round(joint.y, 3), joint.visible)
            for pose in annotation.in_pixels(WIDTH, HEIGHT).poses
            for joint in pose.keypoints
        ]
        for name, annotation in case.annotations().items()
    }


def test_a_confidence_before_the_box(case: Case) -> None:
    confident = BOX.replace("0 ", "0 0.93 ", 1)
    labels(case, NAMES, f"{confident}\n", f"0 0.41 {CAT_LINE}\n0 0.99 0.5 0.5 0.2 0.9\n")
    code, _, err = case.pull()
    assert code == 0 and "3 lines have a second column, taken as a confidence and not used." in err
    assert case.boxes()["a.jpg"] == cats("a.jpg")["a.jpg"]
    assert case.boxes()["b.jpg"] == [*cats("b.jpg")["b.jpg"], ("cat", 38.4, 3.2, 57.6, 60.8)]


def test_one_row_decides_for_the_whole_folder(case: Case) -> None:
    # Alone, the first row could be read either way.
    labels(case, NAMES, "0 0.3 0.5 0.5 0.2 0.2\n", f"0 0.93 {CAT_LINE}\n")
    assert case.pull()[0] == 0
    assert case.boxes()["a.jpg"] == [("cat", 38.4, 25.6, 57.6, 38.4)]
    assert case.boxes()["b.jpg"] == cats("b.jpg")["b.jpg"]


@pytest.mark.parametrize("last", ["0.93", "17", "1"])
def test_a_confidence_or_a_track_behind_the_box(case: Case, last: str) -> None:
    labels(case, NAMES, f"{BOX} {last}\n", f"{BOX} 0.9\n")
    code, _, err = case.pull()
    assert code == 0 and "2 lines have a sixth column" in err
    assert case.boxes() == cats("a.jpg", "b.jpg")


@pytest.mark.parametrize("task", ["detection", "segmentation"])
def test_confidences_that_could_be_before_and_behind_the_box_are_asked_about(case: Case, task: str) -> None:
    labels(case, NAMES, "0 0.5 0.5 0.2 0.2 0.2\n", "1 0.4 0.5 0.3 0.2 0.3\n")
    code, _, err = case.pull("images", "ann", "--task", task)
    assert code == 5 and "the confidence could be the second or the last one" in err
    assert "class x y width height" in err and "labels/" not in err


def test_a_few_boxes_over_the_border_leave_no_doubt(case: Case) -> None:
    rng = np.random.default_rng(3)
    rows = "".join(f"0 {x:.3f} 0.5 0.3 0.9 {c:.3f}\n" for x, c in rng.uniform((0.3, 0.7), (0.7, 1), (60, 2)))
    labels(case, NAMES, f"0 0.9 0.5 0.3 0.2 0.8\n{rows}")
    assert case.pull()[0] == 0
    assert case.boxes()["a.jpg"][0] == ("cat", 72.0, 25.6, 100.8, 38.4)


@pytest.mark.parametrize("task", ["pose", "detection"])
@pytest.mark.parametrize("count", [2, 4, 17])
def test_joints_of_three_values_without_their_shape(case: Case, count: int, task: str) -> None:
    labels(case, PERSON, f"{BOX}{joints(count, 3)}\n", f"{BOX}{joints(count, 3, '1')}\n")
    code, _, err = case.pull("images", "ann", "--task", task)
    assert code == 0 and f"by their values, the rows hold a box and {count} joints of 3 values" in err
    assert case.boxes() == {name: [("person", 10, 10, 40, 40)] for name in ("a.jpg", "b.jpg")}
    assert poses(case)["b.jpg"][:2] == [("joint_1", *HEAD, False), ("joint_2", *TAIL, False)]
    assert len(poses(case)["a.jpg"]) == count


@pytest.mark.parametrize("count", [1, 2, 3, 6, 17])
def test_joints_of_two_values_without_their_shape(case: Case, count: int) -> None:
    labels(case, PERSON, f"{BOX}{joints(count, 2)}\n", f"{BOX}{joints(count - 1, 2)} 0 0\n")
    code, _, err = case.pull("images", "ann", "--task", "pose")
    assert f"the rows hold a box and {count} joint{'s' * (count > 1)} of 2 values" in err
    assert poses(case)["a.jpg"][0] == ("joint_1", *HEAD, True)
    assert len(poses(case)["a.jpg"]) == count
    # A joint at (0, 0) is not marked.
    assert code == (3 if count == 1 else 0)
    assert len(poses(case).get("b.jpg", [])) == count - 1


def test_detection_reads_the_boxes_of_joints_of_two_values(case: Case) -> None:
    labels(case, PERSON, *[f"{BOX}{joints(5, 2)}\n"] * 20)
    assert case.pull()[0] == 0
    assert case.boxes()["t.jpg"] == [("person", 10, 10, 40, 40)]


def test_polygons_of_one_length_stay_polygons(case: Case) -> None:
    ring = "0.5 0.5 0.7 0.5 0.8 0.7 0.7 0.9 0.5 0.9 0.4 0.7"
    labels(case, NAMES, *[f"0 {ring}\n"] * 25)
    assert case.pull()[0] == 0
    assert case.boxes()["a.jpg"] == [("cat", 38.4, 32.0, 76.8, 57.6)]


@pytest.mark.parametrize("row", [f"{joints(2, 3, '0')}", f"{joints(2, 2)}\n{BOX}{joints(3, 2)}"])
def test_joints_of_which_the_values_do_not_tell_the_shape_are_asked_about(case: Case, row: str) -> None:
    labels(case, PERSON, f"{BOX}{row}\n")
    code, _, err = case.pull("images", "ann", "--task", "pose")
    assert code == 5 and "do not say how many joints" in err and "kpt_shape" in err and "data.yaml" in err


def test_one_row_of_another_length_refuses_its_image_only(case: Case) -> None:
    labels(case, PERSON, *[f"{BOX}{joints(3, 3)}\n"] * 20, f"{BOX}{joints(2, 3)}\n")
    code, _, err = case.pull("images", "ann", "--task", "pose")
    assert code == 3 and "u.txt:1: 11 values, expected 5 or 14" in err
    assert len(poses(case)) == 20


@pytest.mark.parametrize("description", [PERSON, f"{PERSON}kpt_shape: [2, 3]\n"])
def test_persons_without_joints_are_passed_over_and_counted(case: Case, description: str) -> None:
    labels(case, description, f"{BOX}{joints(2, 3)}\n{BOX}\n{BOX} 0 0 0 0 0 0\n", f"{BOX}{joints(2, 3)}\n", f"{BOX}\n")
    code, out, err = case.pull("images", "ann", "--task", "pose")
    assert code == 3 and "c.jpg: all its objects are passed over (1 jointless object)" in err
    assert "Passed over: 3 jointless objects" in out
    annotation = case.annotations()["a.jpg"].in_pixels(WIDTH, HEIGHT)
    assert len(annotation.poses) == len(annotation.boxes) == 1
    assert [(each.kind, each.count) for each in annotation.passed_over] == [("jointless object", 2)]
    first = annotation.poses[0].keypoints[0]
    assert (first.x, first.y) == (pytest.approx(HEAD[0]), pytest.approx(HEAD[1])) and isinstance(first, Keypoint)


def test_persons_of_coco_without_marked_joints_are_passed_over(case: Case) -> None:
    document = coco(["a.jpg", "b.jpg", "c.jpg"], keypoints=[20, 20, 2, 0, 0, 0])
    document["categories"][0]["keypoints"] = ["head", "tail"]
    document["annotations"][1] |= {"keypoints": [0] * 6, "num_keypoints": 0}
    more = {**document["annotations"][0], "id": 4, "keypoints": [], "bbox": [50, 10, 20, 20]}
    document["annotations"].append(more)
    case.picture("images/a.jpg", "images/b.jpg", "images/c.jpg").text("ann.json", document)
    code, _, err = case.pull("images", "ann.json", "--task", "pose")
    assert code == 3 and "b.jpg: all its objects are passed over (1 jointless object)" in err
    assert poses(case) == {"a.jpg": [("head", 20, 20, True)], "c.jpg": [("head", 20, 20, True)]}
