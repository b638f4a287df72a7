"""Predictions as other tools write them."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from alcli.errors import DataError, UsageError
from alcli.predictions import FRACTIONS, Problem, Rules
from alcli.predictions.sources import read_predictions

RULES = Rules(("cat", "dog"))
RESULTS = [
    {"image_id": 7, "category_id": 3, "bbox": [10, 20, 30, 40], "score": 0.5},
    {"image_id": 7, "category_id": 5, "bbox": [0, 0, 5, 5], "score": 0.25},
]
LISTING = {
    "images": [{"id": 7, "file_name": "a/x.jpg", "width": 100, "height": 80}, {"id": 8, "file_name": "y.jpg"}],
    "categories": [{"id": 3, "name": "cat"}, {"id": 5, "name": "dog"}],
}


def test_coco_results_with_the_file_that_names_their_ids(tmp_path):
    (tmp_path / "r.json").write_text(json.dumps(RESULTS, indent=1))
    (tmp_path / "i.json").write_text(json.dumps(LISTING))
    first, second = read_predictions(tmp_path / "r.json", RULES, tmp_path / "i.json")
    assert first.name == "a/x.jpg" and first.size == (100, 80) and first.boxes.labels == ["cat", "dog"]
    assert first.boxes.corners.tolist() == [[10, 20, 40, 60], [0, 0, 5, 5]]
    assert second.name == "y.jpg" and len(second.boxes.scores) == 0


def test_coco_results_of_joints_and_masks(tmp_path):
    listing = {**LISTING, "categories": [{"id": 3, "name": "person", "keypoints": ["nose", "tail"]}]}
    entry = {"image_id": 7, "category_id": 3, "score": 0.5, "keypoints": [1, 2, 0.5, 3, 4, 0.25],
             "segmentation": {"size": [5, 8], "counts": "0X1"}}  # fmt: skip
    (tmp_path / "r.json").write_text(json.dumps([entry]))
    (tmp_path / "i.json").write_text(json.dumps(listing))
    first, _ = read_predictions(tmp_path / "r.json", RULES, tmp_path / "i.json")
    assert first.people == [{"nose": (1, 2, 0.5), "tail": (3, 4, 0.25)}]
    assert first.masks["person"].pixels().all() and first.boxes is None


def test_coco_annotations_are_no_predictions(tmp_path):
    (tmp_path / "r.json").write_text(json.dumps([{"image_id": "x", "category_id": 1, "bbox": [0, 0, 1, 1]}]))
    (problem,) = read_predictions(tmp_path / "r.json", RULES)
    assert "no score" in problem.what and problem.name == "x"


def test_an_id_that_nothing_names(tmp_path):
    (tmp_path / "r.json").write_text(json.dumps(RESULTS))
    (problem,) = read_predictions(tmp_path / "r.json", RULES)
    assert "category 3 is not known" in problem.what and "--coco" in problem.what


def test_yolo_labels_with_confidences(tmp_path):
    (tmp_path / "labels/sub").mkdir(parents=True)
    (tmp_path / "data.yaml").write_text("names: {0: cat, 1: dog}\n")
    (tmp_path / "labels/sub/x.txt").write_text("1 0.5 0.5 0.2 0.4 0.75\n\n0 0.1 0.1 0.1 0.1 0.5\n")
    (tmp_path / "labels/z.txt").write_text("")
    (tmp_path / "labels/w.txt").write_text("1 0.5 0.5 0.2 0.4\n")
    by_name = {entry.name: entry for entry in read_predictions(tmp_path / "labels", Rules())}
    box = by_name["sub/x"].boxes
    assert box.labels == ["dog", "cat"] and box.scores.tolist() == [0.75, 0.5] and by_name["sub/x"].units == FRACTIONS
    np.testing.assert_allclose(box.corners[0], [0.4, 0.3, 0.6, 0.7])
    assert len(by_name["z"].boxes.scores) == 0
    assert isinstance(by_name["w"], Problem) and "save_conf=True" in by_name["w"].what
    # The folder above names its images the same.
    assert {entry.name for entry in read_predictions(tmp_path, RULES)} == {"sub/x", "w", "z"}


def test_a_table_of_probabilities(tmp_path):
    frame = pd.DataFrame({"filename": ["007", "b.jpg", "c.jpg"], "cat": [0.25, 3, None], "dog": [0.75, -1, 1]})
    frame.to_csv(tmp_path / "p.csv", index=False)
    good, logits, missing = read_predictions(tmp_path / "p.csv", RULES)
    assert good.name == "007" and good.classes == ("cat", "dog") and good.probabilities.tolist() == [0.25, 0.75]
    assert "logits" in logits.what and logits.source == "p.csv, row 3"
    assert "missing" in missing.what


def test_a_table_without_names(tmp_path):
    (tmp_path / "p.csv").write_text("cat,dog\n0.5,0.5\n")
    with pytest.raises(DataError, match="a column name and one for each class"):
        list(read_predictions(tmp_path / "p.csv", RULES))


def test_parquet_needs_its_package_or_is_read(tmp_path):
    frame = pd.DataFrame({"name": ["a.jpg"], "cat": [0.25], "dog": [0.75]})
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        (tmp_path / "p.parquet").write_bytes(b"PAR1")
        with pytest.raises(UsageError, match="pyarrow"):
            list(read_predictions(tmp_path / "p.parquet", RULES))
        return
    frame.to_parquet(tmp_path / "p.parquet")
    (entry,) = read_predictions(tmp_path / "p.parquet", RULES)
    assert entry.name == "a.jpg" and entry.probabilities.tolist() == [0.25, 0.75]


def test_embeddings_with_names(tmp_path):
    vectors = np.array([[1, 2], [np.nan, 1]], dtype=np.float16)
    np.savez(tmp_path / "e.npz", names=["a.jpg", "b.jpg"], embeddings=vectors)
    good, broken = read_predictions(tmp_path / "e.npz", RULES)
    assert good.name == "a.jpg" and good.embedding.tolist() == [1, 2]
    assert "not finite" in broken.what
    np.savez(tmp_path / "f.npz", names=np.array([object()]), embeddings=vectors)
    with pytest.raises(DataError, match="pickle"):
        list(read_predictions(tmp_path / "f.npz", RULES))
    np.savez(tmp_path / "g.npz", vectors=vectors)
    with pytest.raises(DataError, match="names and embeddings"):
        list(read_predictions(tmp_path / "g.npz", RULES))


def test_what_is_no_predictions_says_what_is_read(tmp_path):
    (tmp_path / "notes.md").write_text("# notes\n")
    with pytest.raises(DataError, match="no predictions in a known form"):
        list(read_predictions(tmp_path / "notes.md", RULES))
    with pytest.raises(UsageError, match="There is no"):
        list(read_predictions(tmp_path / "nowhere.jsonl", RULES))
    with pytest.raises(DataError, match="only files like notes"):
        list(read_predictions(tmp_path, RULES))
    (tmp_path / "half.json").write_text('[{"image_id": 1,')
    with pytest.raises(DataError, match="is not JSON"):
        list(read_predictions(tmp_path / "half.json", RULES))
