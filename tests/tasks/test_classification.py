from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import average_precision_score, balanced_accuracy_score, confusion_matrix, recall_score

from alcli.annotations import Annotation
from alcli.engine.loading import batches
from alcli.errors import DataError, UsageError
from tests.support.drawings import CASES, Case, examples, make_task

ONE, SEVERAL = CASES["classification"], CASES["classification, several labels"]


def batch_of(case: Case, folder, count: int = 4):
    task = make_task(case)
    return task, next(batches(task, examples(case, folder, count), lambda _: [range(count)], 0))[0]


def test_the_loss_is_the_librarys(tmp_path):
    task, batch = batch_of(ONE, tmp_path)
    model = task.build_model().eval()
    with torch.inference_mode():
        losses, _ = task.losses(model, batch)
        logits = model(task.normalize(model, batch))
    torch.testing.assert_close(losses.mean(), F.cross_entropy(logits, torch.tensor([0, 1, 0, 1])))


def test_the_loss_of_several_labels_is_the_librarys(tmp_path):
    task, batch = batch_of(SEVERAL, tmp_path)
    model = task.build_model().eval()
    with torch.inference_mode():
        losses, _ = task.losses(model, batch)
        logits = model(task.normalize(model, batch))
    wanted = torch.tensor([[1.0, 0.0], [1.0, 1.0], [0.0, 0.0], [0.0, 1.0]])
    torch.testing.assert_close(losses.mean(), F.binary_cross_entropy_with_logits(logits, wanted))


def test_metrics_are_scikit_learns(tmp_path):
    held_out = examples(ONE, tmp_path, 5)
    said = ["a", "b", "b", "b", "a"]
    rows = [Annotation(e.item.id, labels=(s,)) for e, s in zip(held_out, said, strict=True)]
    metrics = make_task(ONE).evaluate(held_out, rows)
    true = [example.annotation.labels[0] for example in held_out]
    recalls = recall_score(true, said, labels=["a", "b"], average=None)
    assert metrics == {
        "top1": 0.8,
        "macro_accuracy": pytest.approx(balanced_accuracy_score(true, said)),
        "recall/a": pytest.approx(recalls[0]),
        "recall/b": pytest.approx(recalls[1]),
    }
    assert next(iter(metrics)) == "top1"
    table = np.zeros((2, 2), dtype=int)
    for row, column, count in make_task(ONE).confusion(held_out, rows):
        table[row, column] = count
    assert table.tolist() == confusion_matrix(true, said, labels=["a", "b"]).tolist()


def test_average_precision_is_scikit_learns(tmp_path):
    held_out = examples(SEVERAL, tmp_path, 4)
    scores = [(0.9, 0.8), (0.2, 0.1), (0.4, 0.3), (0.1, 0.2)]
    rows = [Annotation(e.item.id, labels=("a", "b"), label_scores=s) for e, s in zip(held_out, scores, strict=True)]
    true = [[1, 0], [1, 1], [0, 0], [0, 1]]
    assert make_task(SEVERAL).evaluate(held_out, rows) == {
        "map": pytest.approx(average_precision_score(true, scores)),
        "ap/a": pytest.approx(average_precision_score([row[0] for row in true], [one for one, _ in scores])),
        "ap/b": pytest.approx(average_precision_score([row[1] for row in true], [two for _, two in scores])),
    }
    assert make_task(SEVERAL).confusion(held_out, rows) == []


def test_without_any_label_there_is_no_metric(tmp_path):
    task = make_task(SEVERAL)
    nothing = [example for example in examples(SEVERAL, tmp_path, 4) if not example.annotation.labels]
    with pytest.raises(DataError, match="No held-out image has a label"):
        task.evaluate(nothing, [Annotation("2", labels=("a", "b"), label_scores=(0.1, 0.2))])


def test_an_unknown_model_names_the_nearest():
    case = ONE.model.model_copy(update={"name": "resnet19"})
    task = type(make_task(ONE))(ONE.options, case, ("a", "b"))
    with pytest.raises(UsageError) as refused:
        task.build_model()
    assert "resnet" in refused.value.do
