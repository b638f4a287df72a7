"""SuperAnnotate's JSON and back."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alcli.annotations import Annotation, Box, Keypoint, PassedOver, Polygon, Pose
from alcli.errors import DataError
from alcli.formats import Purpose
from alcli.formats.superannotate import Superannotate, document, parse
from alcli.formats.voc import Voc


def read(*instances: dict, **metadata: object) -> Annotation:
    return parse("1", {"metadata": {"name": "x", **metadata}, "instances": list(instances), "tags": []})


def detect(*instances: dict) -> Annotation:
    return parse("1", {"metadata": {}, "instances": list(instances)}, Purpose("detection"))


def instance(kind: str, **geometry: object) -> dict:
    return {"type": kind, "className": "cat", **geometry}


def test_a_box_is_read_whichever_corner_comes_first():
    assert read(instance("bbox", points={"x1": 30, "y2": 2, "x2": 1, "y1": 40})).boxes == (Box("cat", 1, 2, 30, 40),)


def test_the_probability_of_a_prediction_is_its_score_and_people_have_none():
    points = {"x1": 1, "y1": 2, "x2": 3, "y2": 4}
    assert read(instance("bbox", points=points, probability=100)).boxes[0].score is None
    predicted = instance("bbox", points=points, probability=87, creationType="Preannotation")
    assert read(predicted).boxes[0].score == 0.87


@pytest.mark.parametrize("probability", [float("nan"), float("inf"), -1, 101])
def test_a_probability_that_is_none_is_refused(probability):
    points = {"x1": 1, "y1": 2, "x2": 3, "y2": 4}
    with pytest.raises(DataError, match=r"instance 0 .bbox.: probability: expected 0 to 100"):
        read(instance("bbox", points=points, probability=probability, creationType="Preannotation"))


def test_when_people_made_its_objects_says_how_long_they_worked_on_an_image():
    def made(stamp, kind="Manual"):
        return instance("tag", createdAt=stamp, creationType=kind)

    day = "2026-08-04T03:"
    stamps = [f"{day}50:12.000Z", f"{day}50:00.000Z", f"{day}50:20.000Z"]
    assert read(*map(made, stamps)).seconds == 30
    # A pause is no work, though the object after it is; a prediction is nobody's, and what is no time says nothing.
    more = [made(f"{day}58:00.000Z"), made(f"{day}50:01.000Z", "Preannotation"), made("yesterday"), made(5), made(None)]
    assert read(*map(made, stamps), *more).seconds == 40
    assert read(made(stamps[0])).seconds is None
    # What a program made, it made at once.
    assert read(made(stamps[0]), made(stamps[0]), made(f"{day}50:12.010Z")).seconds is None
    assert read(made(stamps[0]), made(f"{day}50:10")).seconds == 4


def test_an_outlined_object_is_a_polygon_and_its_box():
    annotation = detect(instance("polygon", points=[0, 0, 10, 0, 10, 20], exclude=[[2, 2, 4, 2, 4, 4]]))
    assert annotation.polygons == (Polygon("cat", ((0, 0, 10, 0, 10, 20),), ((2, 2, 4, 2, 4, 4),)),)
    assert annotation.boxes == (Box("cat", 0, 0, 10, 20),)


def test_polygons_of_one_group_are_one_object():
    parts = [instance("polygon", points=[x, 0, x + 1, 0, x, 9], groupId=group) for x, group in ((0, 4), (5, 4), (8, 0))]
    assert [len(polygon.rings) for polygon in read(*parts).polygons] == [2, 1]


def test_a_rotated_box_is_its_four_corners():
    points = {"x1": 5, "y1": 0, "x2": 10, "y2": 5, "x3": 5, "y3": 10, "x4": 0, "y4": 5}
    annotation = detect(instance("rbbox", points=points))
    assert annotation.polygons[0].rings == ((5, 0, 10, 5, 5, 10, 0, 5),) and annotation.boxes == (
        Box("cat", 0, 0, 10, 10),
    )


def test_an_ellipse_fills_its_box_also_when_it_is_turned():
    upright = detect(instance("ellipse", cx=50, cy=40, rx=20, ry=10, angle=0)).boxes[0]
    turned = detect(instance("ellipse", cx=50, cy=40, rx=20, ry=10, angle=90)).boxes[0]
    assert (upright.x1, upright.y1, upright.x2, upright.y2) == pytest.approx((30, 30, 70, 50))
    assert (turned.x1, turned.y1, turned.x2, turned.y2) == pytest.approx((40, 20, 60, 60))


def test_a_point_and_a_line_are_joints():
    point, line = read(instance("point", x=3, y=4), instance("polyline", points=[0, 0, 5, 5, 9, 0])).poses
    assert point == Pose("cat", (Keypoint("cat", 3, 4),))
    assert [(joint.x, joint.y) for joint in line.keypoints] == [(0, 0), (5, 5), (9, 0)]


def test_the_joints_of_a_template_are_named_by_their_position_or_number():
    points = [{"id": 7, "x": 1, "y": 2}, {"id": 8, "x": 3, "y": 4}]
    (pose,) = read(instance("template", points=points, pointLabels={"0": "Nose"})).poses
    assert [joint.name for joint in pose.keypoints] == ["Nose", "8"]


def test_tags_of_both_kinds_are_labels_once_each():
    content = {"instances": [{"type": "tag", "className": "rain"}], "tags": ["night", "rain"]}
    assert parse("1", content).labels == ("rain", "night")


def test_unknown_kinds_are_counted_and_nothing_is_fatal_that_need_not_be():
    content = {"instances": [instance("blob"), {"className": "no type"}, "text", instance("blob")], "tags": None}
    passed_over = (PassedOver("blob", 2), PassedOver("untyped object", 2))
    assert parse("1", content) == Annotation("1", passed_over=passed_over)


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (instance("polygon"), "instance 0 (polygon): 'points' is missing"),
        (instance("bbox", points={"x1": 1, "y1": 1, "x2": 1, "y2": 5}), "zero area"),
        (instance("bbox", points={"x1": "a", "y1": 1, "x2": 1, "y2": 5}), "instance 0 (bbox)"),
        (instance("polygon", points=[1, 2, 3, 4]), "at least 3 are needed"),
        ({"type": "bbox", "points": {}, "className": None}, "instance 0 (bbox)"),
        (instance("point", x=float("nan"), y=1), "not finite"),
        (instance("template", points=[]), "no marked joint"),
    ],
)
def test_a_broken_instance_is_named(broken, message):
    with pytest.raises(DataError) as caught:
        read(broken)
    assert message in caught.value.what


def test_a_size_that_is_missing_or_null_is_none():
    assert read(width=640, height=480).size == (640, 480)
    assert read(width=None, height=480).size is None and read().size is None


numbers = st.floats(0, 1000, allow_nan=False).map(lambda value: round(value, 3))
names = st.text(min_size=1, max_size=8)


@st.composite
def annotations(draw):
    boxes = [
        Box(draw(names), x, y, x + draw(st.floats(1, 50)), y + draw(st.floats(1, 50)))
        for x, y in draw(st.lists(st.tuples(numbers, numbers), max_size=3))
    ]
    joints = draw(st.dictionaries(names.filter(lambda name: not name.startswith("line ")), numbers, max_size=4))
    poses = (Pose("p" * 9, tuple(Keypoint(name, x, x / 2) for name, x in joints.items())),) if joints else ()
    labels = tuple(draw(st.lists(names, unique=True, max_size=2)))
    return Annotation("1", tuple(boxes), (640, 480), labels, poses)


@given(annotations())
def test_what_is_written_is_read_back(annotation):
    content = json.loads(json.dumps(document("x.jpg", annotation)))
    assert parse("1", content) == annotation


def test_polygons_points_and_lines_are_read_back_as_they_were():
    polygon = Polygon("cat", ((0, 0, 10, 0, 10, 20), (30, 0, 40, 0, 40, 20)), ((2, 2, 4, 2, 4, 4),))
    lines = read(instance("point", x=3, y=4), instance("polyline", points=[0, 0, 5, 5]))
    annotation = Annotation("1", poses=lines.poses, polygons=(polygon,))
    assert parse("1", document("x.jpg", annotation)) == annotation


def test_a_folder_of_new_and_old_files_is_recognised_and_read(tmp_path):
    content = json.dumps(document("a.jpg", Annotation("a.jpg", (Box("cat", 1, 2, 3, 4),))))
    (tmp_path / "sub").mkdir()
    for name in ("sub/a.jpg.json", "b.jpg___objects.json", "stray.jpg.json"):
        (tmp_path / name).write_text(content)
    (tmp_path / "classes.json").write_text("[]")
    assert Superannotate.recognizes(tmp_path) and not Voc.recognizes(tmp_path)
    folder = Superannotate(tmp_path)
    versions, refusals = folder.labeled(["sub/a.jpg", "b.jpg", "c.jpg"])
    assert set(versions) == {"sub/a.jpg", "b.jpg"}
    assert [(refusal.name, refusal.reason) for refusal in refusals] == [
        ("stray.jpg.json", "annotation without an image")
    ]
    assert folder.read("sub/a.jpg").boxes == (Box("cat", 1, 2, 3, 4),)


def test_a_folder_of_xml_or_of_nothing_is_left_to_voc(tmp_path):
    assert not Voc.recognizes(tmp_path) and not Superannotate.recognizes(tmp_path)
    (tmp_path / "a.xml").write_text("<annotation/>")
    (tmp_path / "note.json").write_text("{}")
    assert Voc.recognizes(tmp_path) and not Superannotate.recognizes(tmp_path)


def test_a_file_that_is_not_json_is_named(tmp_path):
    (tmp_path / "a.jpg.json").write_text("{")
    folder = Superannotate(tmp_path)
    folder.labeled(["a.jpg"])
    with pytest.raises(DataError, match=r"a\.jpg\.json: not JSON"):
        folder.read("a.jpg")
