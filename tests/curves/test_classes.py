from __future__ import annotations

from alcli.annotations import Annotation, Box
from alcli.curves.classes import class_numbers, metric_kinds, never_found

ANNOTATIONS = [
    Annotation("1", (Box("cat", 0, 0, 9, 9), Box("cat", 20, 0, 29, 9), Box("a/b", 0, 0, 5, 5))),
    Annotation("2", (Box("cat", 0, 0, 9, 9),)),
]
METRICS = {"map": 0.3, "ap50": 0.4, "ap/cat": 0.5, "ap50/cat": 0.8, "ap/a/b": 0.0, "ap50/a/b": 0.0}


def test_each_class_has_its_images_objects_and_metrics():
    cat, other, unseen = class_numbers(["cat", "a/b", "owl"], ANNOTATIONS, METRICS, {"cat": 7})
    assert (cat.images, cat.objects, cat.asked, cat.metrics) == (2, 3, 7, {"ap": 0.5, "ap50": 0.8})
    assert (other.images, other.objects, other.asked, other.metrics) == (1, 1, 0, {"ap": 0.0, "ap50": 0.0})
    assert (unseen.images, unseen.metrics) == (0, {})
    assert class_numbers(["cat"], ANNOTATIONS, {}, {})[0].asked is None


def test_a_class_that_is_never_found_has_a_sentence():
    rows = class_numbers(["cat", "a/b", "owl"], ANNOTATIONS, METRICS, {})
    assert metric_kinds(rows) == ["ap50", "ap"]
    assert never_found(rows) == "The model never finds a/b (1 annotated image)."
    assert never_found(rows[:1]) == never_found([]) == ""
    nothing = class_numbers(["cat", "a/b"], ANNOTATIONS, {"recall/cat": 0.0, "recall/a/b": 0.0}, {})
    assert never_found(nothing) == "The model finds none of its classes yet."


def test_of_many_classes_the_first_are_named():
    names = [f"class {number}" for number in range(9)]
    metrics = {f"recall/{name}": float(name == "class 8") for name in names}
    told = never_found(class_numbers(names, [], metrics, {}))
    assert told.startswith("The model never finds class 0 (0 annotated images), class 1 (0), ")
    assert told.endswith("class 4 (0) and 3 more classes.")


def test_status_shows_the_classes(alcli, workspace):
    import json

    assert alcli("cycle", "-w", workspace, "--validation", "0.6")[0] == 0
    code, out, _ = alcli("status", "-w", workspace, "--classes")
    assert code == 0
    assert "annotated images" in out and "AP50" in out
    rows = json.loads(alcli("status", "-w", workspace, "--classes", "--json")[1])["classes"]
    assert [row["class"] for row in rows] == ["blue", "green", "red"]
    assert all(row["objects"] >= row["images"] > 0 and row["asked"] is not None for row in rows)
    metrics = json.loads((workspace / "cycles/0001/metrics.json").read_text())
    assert metrics["classes"] == rows
    assert "classes" not in json.loads(alcli("status", "-w", workspace, "--json")[1])
