"""The learner `predictions`: whole cycles from files that other models wrote."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.cycle.test_task_cycles import project

SETTINGS = (
    "train.epochs=1", "train.workers=0", "score.workers=0", "model.input_size=64", "train.batch_size=4",
    "train.validation=0.5", "strategy.random_share=0",
)  # fmt: skip
SET = [flag for setting in SETTINGS for flag in ("--set", setting)]


def ranking(workspace: Path, cycle: int = 1) -> list[str]:
    with (workspace / f"cycles/{cycle:04d}/priorities.wide.csv").open() as stream:
        return [row["name"] for row in csv.DictReader(stream)]


def boxes(name: str, *scores: float, label: str = "red") -> dict:
    corners = [[1, 2, 20 + number, 30] for number in range(len(scores))]
    return {"name": name, "boxes": corners, "scores": list(scores), "labels": [label] * len(scores)}


def write(path: Path, *lines: dict) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


@pytest.fixture
def given(photos, alcli, tmp_path):
    """Make a workspace over ``photos`` for a file of predictions: ``W = given(path, *flags)``."""

    def make(path: Path, *flags: object) -> Path:
        arguments = ("--images", photos.images, "--annotations", photos.annotations, "--budget", 2)
        learner = ("--learner", "predictions", "--predictions", path, "--set", "train.validation=0.8")
        code, _, err = alcli("init", tmp_path / "G", *arguments, *learner, *flags)
        assert code == 0, err
        return tmp_path / "G"

    return make


def names_of(photos) -> list[str]:
    return sorted(path.name for path in photos.images.iterdir())


@pytest.mark.parametrize("kind", ["class-folders", "pose", "segmentation", "detection"])
def test_the_ranking_from_alclis_own_predictions_is_alclis_own(kind, alcli, tmp_path, photos):
    if kind == "detection":
        images, labels, task, model = photos.images, photos.annotations, "detection", "ssd-tiny"
    else:
        images, labels = project(tmp_path / "project2", kind)
        task, model = ("classification" if kind == "class-folders" else kind), "mobilenet-v2"
    common = ("--task", task, "--images", images, "--annotations", labels, "--model", model, "--budget", 2, *SET)
    common += ("--set", "train.validation=0.7") if kind == "detection" else ()
    own, preds, theirs = tmp_path / "own", tmp_path / "preds.jsonl.gz", tmp_path / "theirs"
    assert alcli("init", own, *common)[0] == 0
    assert alcli("cycle", "-w", own)[0] == 0
    code, out, err = alcli("predict", "-w", own, "-o", preds)
    assert code == 0 and "Wrote the predictions for" in out, err
    code, out, err = alcli("check-predictions", preds, "-w", own)
    assert code == 0, out + err
    assert alcli("init", theirs, *common, "--learner", "predictions", "--predictions", preds)[0] == 0
    code, out, err = alcli("cycle", "-w", theirs, "--json")
    assert code == 0, err
    training = json.loads(out)["steps"]["train"]
    assert training["learner"] == "predictions" and training["metrics"]
    if kind != "pose":  # where the held-out images' own people are cut out
        expected = json.loads((own / "cycles/0001/metrics.json").read_text())["metrics_plain"]
        for name in expected.keys() - {"loss_rank_correlation"}:
            assert training["metrics"][name] == pytest.approx(expected[name], abs=1e-6)
    for strategy in ("auto", "entropy", "margin", "core-set", "badge", "typiclust", "class-balanced:entropy"):
        for workspace in (own, theirs):
            assert alcli("score", "-w", workspace, "--strategy", strategy)[0] == 0
            assert alcli("export-csv", "-w", workspace, "-o", tmp_path / f"{workspace.name}.csv")[0] == 0
        assert (tmp_path / "own.csv").read_text() == (tmp_path / "theirs.csv").read_text(), strategy


def test_boxes_alone_rank_by_their_scores_and_carry_everything(given, photos, alcli, tmp_path):
    scores = {name: 0.5 if number == 10 else 0.99 for number, name in enumerate(names_of(photos))}
    path = write(tmp_path / "p.jsonl", *(boxes(name, score) for name, score in scores.items()))
    workspace = given(path, "--set", "strategy.name=margin", "--set", "strategy.random_share=0")
    code, out, err = alcli("cycle", "-w", workspace)
    assert code == 0, err
    assert "Cycle 1: predictions of 12 images (mAP" in out and "held out)" in out
    assert ranking(workspace)[0] == names_of(photos)[10]
    assert alcli("cycle", "-w", workspace)[1].startswith("Nothing new")
    for command in (("report",), ("status",), ("explain", names_of(photos)[10])):
        code, out, err = alcli(*command, "-w", workspace)
        assert code == 0, (command, err)
    assert "red" in (workspace / "cycles/0001/report.html").read_text()


def test_new_predictions_make_a_new_cycle_and_old_ones_stay(given, photos, alcli, tmp_path):
    path = write(tmp_path / "p.jsonl", *(boxes(name, 0.9) for name in names_of(photos)))
    workspace = given(path, "--set", "strategy.name=entropy")
    assert alcli("cycle", "-w", workspace)[0] == 0
    write(path, *(boxes(name, 0.6) for name in names_of(photos)))
    code, out, err = alcli("cycle", "-w", workspace, "--json")
    document = json.loads(out)
    assert code == 0 and document["cycle"] == 2, err
    assert document["steps"]["train"]["agreement"] is not None
    first, second = (workspace / f"cycles/000{number}/predictions.jsonl" for number in (1, 2))
    assert first.read_text() != second.read_text()


def test_missing_images_are_said_and_last_and_extra_ones_are_said(given, photos, alcli, tmp_path):
    unlabeled = names_of(photos)[8:]
    lines = [boxes(name, 0.5 + 0.01 * number) for number, name in enumerate(names_of(photos)) if name != unlabeled[1]]
    path = write(tmp_path / "p.jsonl", *lines, boxes("other.jpg", 0.5))
    workspace = given(path, "--set", "strategy.name=entropy")
    code, _, err = alcli("cycle", "-w", workspace)
    assert code == 0, err
    assert f"No prediction for 1 image ({unlabeled[1]}); it is ranked last." in err
    assert "1 prediction of no image of the project (other.jpg)" in err
    assert ranking(workspace)[-1] == unlabeled[1] and sorted(ranking(workspace)) == unlabeled


def test_images_without_a_prediction_are_covered_where_they_have_embeddings(given, photos, alcli, tmp_path):
    names = names_of(photos)
    # The pool is 8 to 11; 9, 10 and 11 have no prediction, and 11 has no embedding either.
    path = write(tmp_path / "p.jsonl", *(boxes(name, 0.9) for name in names[:9]))
    vectors = np.zeros((11, 4), dtype=np.float32)
    vectors[:, 0], vectors[9, 1], vectors[10, 1] = 1, 1, 3  # 10 is further from all others than 9
    np.savez(tmp_path / "e.npz", names=names[:11], embeddings=vectors)
    flags = ("--embeddings", tmp_path / "e.npz", "--set", "strategy.name=entropy")
    workspace = given(path, *flags, "--set", "strategy.random_share=0")
    code, _, err = alcli("cycle", "-w", workspace)
    assert code == 0 and "they are ranked last, or by coverage where the strategy reads embeddings alone." in err, err
    assert ranking(workspace) == [names[8], names[10], names[9], names[11]]
    code, _, err = alcli("cycle", "-w", workspace, "--strategy", "core-set")
    assert code == 0, err
    # By coverage alone the one with a prediction, which equals the annotated ones, is the last that can be covered.
    assert ranking(workspace, 2) == [names[10], names[9], names[8], names[11]]


def test_a_held_out_image_without_a_prediction_is_named_and_not_ranked_last(given, photos, alcli, tmp_path):
    path = write(tmp_path / "p.jsonl", *(boxes(name, 0.9) for name in names_of(photos)))
    workspace = given(path, "--set", "strategy.name=entropy")
    assert alcli("pull", "-w", workspace)[0] == 0
    held_out = json.loads(alcli("list", "held-out", "-w", workspace, "--json")[1])["held_out"][0]
    write(path, *(boxes(name, 0.9) for name in names_of(photos) if name not in str(held_out)))
    code, _, err = alcli("cycle", "-w", workspace)
    assert code == 0 and "No prediction for 1 held-out image (photo_" in err and "not evaluated" in err
    assert "ranked last" not in err


def test_a_signal_that_cannot_be_had_names_its_key(given, photos, alcli, tmp_path):
    path = write(tmp_path / "p.jsonl", *(boxes(name, 0.9) for name in names_of(photos)))
    workspace = given(path, "--set", "strategy.name=core-set")
    code, _, err = alcli("cycle", "-w", workspace)
    assert code == 2 and 'embedding is given by "embedding" (or an .npz file: learner.embeddings)' in err
    code, _, err = alcli("cycle", "-w", workspace, "--strategy", "learned-loss")
    assert code == 2 and '"signals": {"predicted_loss": …}' in err
    code, _, err = alcli("cycle", "-w", workspace, "--strategy", "auto")
    assert code == 0 and "The learner predictions gives no embedding: ranking by margin." in err


def test_embeddings_come_from_a_file_of_their_own(given, photos, alcli, tmp_path):
    names = names_of(photos)
    path = write(tmp_path / "p.jsonl", *(boxes(name, 0.9) for name in names))
    vectors = np.zeros((12, 300), dtype=np.float32)
    vectors[:, 0] = 1
    vectors[9, :] = np.arange(300)
    np.savez(tmp_path / "e.npz", names=names, embeddings=vectors)
    flags = ("--set", "strategy.name=core-set", "--set", "strategy.random_share=0")
    workspace = given(path, "--embeddings", tmp_path / "e.npz", *flags)
    code, _, err = alcli("cycle", "-w", workspace)
    assert code == 0, err
    assert ranking(workspace)[0] == names[9]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda lines: [{**line, "labels": ["Red"]} for line in lines], "of other classes: Red"),
        (lambda lines: [{**line, "scores": [7]} for line in lines], "score 7 is not in [0, 1]"),
        (lambda lines: [*lines, lines[0]], "a second prediction for one image"),
        (lambda lines: [{**line, "name": "no/" + line["name"] + "x"} for line in lines], "None of the 12 predictions"),
        (lambda lines: [{**line, "boxes": [[1, 2, 2000, 3000]]} for line in lines], "images of another size"),
        (lambda lines: [{**line, "size": [960, 800]} for line in lines], "predicted for 960×800 pixels, but"),
        (lambda lines: [{**line, "scores": [float("nan")]} for line in lines], "line 1: NaN is not a number"),
        (lambda lines: [{"name": line["name"], "probabilities": [3.1, -2.0, 0.5]} for line in lines], "logits"),
        (lambda lines: [{"name": line["name"], "probabilities": [0.6, 0.6, 0.6]} for line in lines], "sum to 1"),
        (lambda lines: [{**line, "boxes": [[0.1, 0.2, 0.3, 0.4]]} for line in lines], "fractions of the image"),
        (lambda lines: [], "holds no prediction"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_clear_message(given, photos, alcli, tmp_path, change, words):
    lines = [boxes(name, 0.9) for name in names_of(photos)]
    path = write(tmp_path / "p.jsonl", *lines)
    workspace = given(path, "--set", "strategy.name=entropy")
    assert alcli("cycle", "-w", workspace)[0] == 0
    before = ranking(workspace)
    write(path, *change(lines))
    code, _, err = alcli("cycle", "-w", workspace)
    assert code == 5 and words in err, err
    assert ranking(workspace) == before
    write(path, *lines)
    assert alcli("cycle", "-w", workspace)[0] == 0


def test_a_missing_file_is_a_usage_error(given, alcli, tmp_path):
    workspace = given(tmp_path / "nowhere.jsonl")
    code, _, err = alcli("cycle", "-w", workspace)
    assert code == 2 and "There is no" in err


def test_without_any_annotation_the_predictions_rank_from_the_first_list(photos, alcli, tmp_path):
    doubtful = names_of(photos)[3]
    lines = [boxes(name, 0.5 if name == doubtful else 0.9) for name in names_of(photos)]
    path = write(tmp_path / "p.jsonl", *lines)
    (tmp_path / "empty").mkdir()
    flags = ("--learner", "predictions", "--predictions", path, "--set", "strategy.name=entropy", "--budget", 2)
    assert alcli("init", tmp_path / "G", "--images", photos.images, "--annotations", tmp_path / "empty", *flags)[0] == 0
    code, _, err = alcli("cycle", "-w", tmp_path / "G")
    assert code == 0, err
    assert ranking(tmp_path / "G")[0] == doubtful


def test_the_held_out_images_are_listed_before_and_after_the_first_cycle(given, photos, alcli, tmp_path):
    path = write(tmp_path / "p.jsonl", *(boxes(name, 0.9) for name in names_of(photos)))
    workspace = given(path, "--set", "strategy.name=entropy")
    assert alcli("pull", "-w", workspace)[0] == 0
    before = alcli("list", "held-out", "-w", workspace, "--json")[1]
    out = alcli("cycle", "-w", workspace, "--json")[1]
    assert json.loads(alcli("list", "held-out", "-w", workspace, "--json")[1]) == json.loads(before)
    assert 0 < len(json.loads(before)["held_out"]) == json.loads(out)["steps"]["train"]["held_out"]


def test_coco_results_and_yolo_labels_rank_like_the_same_in_json_lines(given, photos, alcli, tmp_path):
    names = names_of(photos)
    lines = [boxes(name, 0.5 + 0.04 * number) for number, name in enumerate(names)]
    path = write(tmp_path / "p.jsonl", *lines)
    workspace = given(path, "--set", "strategy.name=entropy", "--set", "strategy.random_share=0")
    assert alcli("cycle", "-w", workspace)[0] == 0
    expected = ranking(workspace)
    results = [{"image_id": name, "category_id": 1, "bbox": [1, 2, 19, 28], "score": line["scores"][0]}
               for name, line in zip(names, lines, strict=True)]  # fmt: skip
    (tmp_path / "r.json").write_text(json.dumps(results))
    (tmp_path / "labels").mkdir()
    for name, line in zip(names, lines, strict=True):
        (tmp_path / "labels" / Path(name).with_suffix(".txt")).write_text(f"0 0.5 0.5 0.2 0.2 {line['scores'][0]}\n")
    for source in ("r.json", "labels"):
        shutil.rmtree(workspace)
        workspace = given(tmp_path / source, "--set", "strategy.name=entropy", "--set", "strategy.random_share=0",
                          "--classes", "red,green,blue")  # fmt: skip
        code, _, err = alcli("cycle", "-w", workspace)
        assert code == 0, err
        assert ranking(workspace) == expected, source
