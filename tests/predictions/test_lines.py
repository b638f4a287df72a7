"""The predictions file, line by line: what is read is what was written, and each fault has its sentence."""

from __future__ import annotations

import gzip
import json
from importlib import resources

import numpy as np
import pytest

from alcli.annotations import Mask
from alcli.predictions import FRACTIONS, Boxes, ImagePrediction, Problem, Rules
from alcli.predictions.lines import HEADER_KEYS, KEYS, Header, read_lines, to_line, write_header

RULES = Rules(("cat", "dog"))
HEADER = '{"alcli_predictions": 1, "classes": ["cat", "dog"]}'
FULL = ImagePrediction(
    "a/b.jpg",
    classes=("cat", "dog"),
    size=(640, 480),
    boxes=Boxes(["dog"], np.array([[1.5, 2, 30, 40]]), np.array([0.1]), np.array([[0.2, 0.1]]), np.array([7.0])),
    probabilities=np.array([0.25, 0.75]),
    people=[{"nose": (1.0, 2.0, 0.5)}],
    masks={"cat": Mask("cat", "0X1", (8, 5))},
    shares={"cat": 0.4},
    embedding=np.array([0.1, 3e-7], dtype=np.float32),
    signals={"entropy": np.float32(0.1), "class_scores": np.array([0.3, 0.7], dtype=np.float32)},
)


def read(tmp_path, *lines, rules=RULES, name="p.jsonl"):
    path = tmp_path / name
    text = "\n".join(lines) + "\n"
    path.write_bytes(gzip.compress(text.encode()) if name.endswith("gz") else text.encode())
    return list(read_lines(path, rules))


def only(tmp_path, *lines, rules=RULES):
    """The one problem of a file."""
    problems = [entry for entry in read(tmp_path, *lines, rules=rules) if isinstance(entry, Problem)]
    assert len(problems) == 1, problems
    return problems[0]


def test_every_part_of_a_prediction_survives_the_file(tmp_path):
    path = tmp_path / "p.jsonl"
    with path.open("w") as stream:
        write_header(stream, Header(("cat", "dog")), "mine")
        stream.write(to_line(FULL, ("cat", "dog")) + "\n")
    (entry,) = read_lines(path, Rules())
    assert entry.name == "a/b.jpg" and entry.size == (640, 480) and entry.source == "p.jsonl, line 2"
    assert entry.keys == FULL.keys >= {"boxes", "support", "embedding", "signals.entropy", "keypoints", "masks"}
    assert entry.boxes.labels == ["dog"] and entry.boxes.corners.tolist() == [[1.5, 2, 30, 40]]
    assert entry.boxes.probabilities.tolist() == [[0.2, 0.1]] and entry.boxes.support.tolist() == [7]
    assert entry.people == FULL.people and entry.masks == FULL.masks and entry.shares == FULL.shares
    for name, value in FULL.signals.items():
        assert np.array_equal(entry.signals[name], value) and entry.signals[name].dtype == np.float32
    assert np.array_equal(entry.embedding, FULL.embedding)


def test_gzip_and_numbered_labels_and_named_probabilities(tmp_path):
    lines = (HEADER, '{"name": "a", "boxes": [[0, 0, 2, 2]], "scores": [1], "labels": [1]}',
             '{"name": "b", "probabilities": {"dog": 0.9, "cat": 0.1}}')  # fmt: skip
    boxed, named = read(tmp_path, *lines, rules=Rules(), name="p.jsonl.gz")
    assert boxed.boxes.labels == ["dog"]
    assert named.classes == ("dog", "cat") and named.probabilities.tolist() == [0.9, 0.1]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('{"name": "a", "probabilities": [0.5, NaN]}', "NaN is not a number"),
        ('{"name": "a", "embedding": [1, Infinity]}', "Infinity is not a number"),
        ('{"name": "a", "probabilities": [3.2, -1]}', "logits"),
        ('{"name": "a", "probabilities": [0.5, 0.2]}', "sum to 0.7, not 1"),
        ('{"name": "a", "probabilities": [1]}', "1 probabilities for 2 classes: cat, dog"),
        ('{"name": "a", "boxes": [[0, 0, 2, 2]], "scores": [1.3], "labels": ["cat"]}', "1.3 is not in [0, 1]"),
        ('{"name": "a", "boxes": [[0, 0, 2, 2]], "scores": [93], "labels": ["cat"]}', "percent"),
        ('{"name": "a", "boxes": [[0, 0, 2, 2]], "labels": ["cat"]}', 'without "scores"'),
        ('{"name": "a", "boxes": [[0, 0, 2, 2]], "scores": [1, 1], "labels": ["cat"]}', "1 boxes, but 2 scores"),
        ('{"name": "a", "boxes": [[50, 0, 20, 2]], "scores": [1], "labels": ["cat"]}', "x, y, width, height?"),
        ('{"name": "a", "boxes": [[1, 2, 3]], "scores": [1], "labels": ["cat"]}', "four numbers"),
        ('{"name": "a", "boxes": [[0, 0, 2, 2]], "scores": [1], "labels": [2]}', "counted from 0"),
        ('{"name": "a", "scors": [1]}', "Did you mean scores"),
        ('{"name": "a", "signals": {"entropi": 1}}', "Did you mean entropy"),
        ('{"name": "a", "keypoints": [{"nose": [1, 2]}]}', "wrong kind"),
        ('{"name": "a", "masks": {"cat": {"size": [5, 8], "counts": "0"}}}', "covers 0 pixels"),
        ('{"boxes": []}', '"name"'),
        ('{"name": "a", ', "not JSON"),
        ("[1]", '"name"'),
    ],
)
def test_each_fault_is_named_with_its_line(tmp_path, line, words):
    problem = only(tmp_path, HEADER, '{"name": "ok"}', line, '{"name": "ok too"}')
    assert problem.source == "p.jsonl, line 3"
    assert words in problem.what


def test_units_are_said_once_and_believed(tmp_path):
    header = json.dumps({"alcli_predictions": 1, "units": FRACTIONS})
    problem = only(tmp_path, header, '{"name": "a", "boxes": [[0, 0, 90, 40]], "scores": [1], "labels": ["cat"]}')
    assert "look like pixels" in problem.what
    assert "furlongs" in only(tmp_path, '{"alcli_predictions": 1, "units": "furlongs"}').what
    assert "version 2; this alcli reads version 1" in only(tmp_path, '{"alcli_predictions": 2}').what
    assert "unknown key 'unit'" in only(tmp_path, '{"alcli_predictions": 1, "unit": "pixels"}').what


def test_several_labels_need_not_sum_to_one(tmp_path):
    line = '{"name": "a", "probabilities": [0.9, 0.8]}'
    assert "task.multi_label" in only(tmp_path, HEADER, line).what
    assert read(tmp_path, HEADER, line, rules=Rules(several_labels=True))[0].probabilities.tolist() == [0.9, 0.8]


@pytest.mark.parametrize("name", ["p.jsonl", "p.jsonl.gz"])
def test_half_a_file_is_seen(tmp_path, name):
    lines = "".join(f'{{"name": "{number}.jpg", "probabilities": [0.25, 0.75]}}\n' for number in range(200))
    content = (HEADER + "\n" + lines).encode()
    content = gzip.compress(content) if name.endswith("gz") else content
    (tmp_path / name).write_bytes(content[: len(content) - 21])
    *before, last = read_lines(tmp_path / name, RULES)
    assert isinstance(last, Problem) and ("half written" in last.what or "ends in the middle" in last.what)
    assert all(isinstance(entry, ImagePrediction) for entry in before)


def test_the_schema_names_the_keys_that_are_read():
    schema = json.loads((resources.files("alcli") / "predictions/schema.json").read_text())
    assert tuple(schema["$defs"]["image"]["properties"]) == KEYS
    assert tuple(schema["$defs"]["header"]["properties"]) == HEADER_KEYS
