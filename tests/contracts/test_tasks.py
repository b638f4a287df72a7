"""What every task promises to training and inference."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from alcli import plugins
from alcli.annotations import Annotation
from alcli.config import ScoreOptions, TrainOptions
from alcli.engine import inference
from alcli.engine.loading import batches
from alcli.engine.training import feature_channels, seed_everything, train
from alcli.errors import DataError
from alcli.images import inspect
from alcli.items import Item
from alcli.models.loss_head import LossHead
from tests.support.drawings import CASES, Case, examples, make_task, picture

COUNT = 5
EVERY_CASE = pytest.mark.parametrize("case", CASES.values(), ids=CASES)
WHOLE = ScoreOptions(batch_size=COUNT, precision="float32", workers=0)

MATRICES = ("embedding", "class_scores", "class_uncertainty", "tie")


class Trial:
    """One task after two training steps on drawings."""

    def __init__(self, case: Case, folder):
        self.task, self.examples = make_task(case), examples(case, folder, COUNT)
        seed_everything(0)
        self.model = self.task.build_model()
        self.loss_head = LossHead(feature_channels(self.task, self.model))
        options = TrainOptions(epochs=1, min_steps=0, batch_size=3, precision="float32", workers=0, warmup=0.0)
        self.before = {name: value.clone() for name, value in self.model.state_dict().items()}
        self.reports = list(train(self.task, self.model, self.loss_head, self.examples, options))
        self.model.eval()
        self.pool = [dataclasses.replace(example, annotation=None) for example in self.examples]

    def batch(self, rows, augment="none"):
        """A batch of the examples in these rows."""
        return next(
            batches(self.task, [self.examples[row] for row in rows], lambda _: [range(len(rows))], 0, 1, augment)
        )[0]


@pytest.fixture(scope="module")
def trials(tmp_path_factory):
    """Trials by case, each made once."""
    made: dict[str, Trial] = {}

    def trial(case: Case) -> Trial:
        key = f"{case.options.name}{getattr(case.options, 'multi_label', False)}"
        if key not in made:
            made[key] = Trial(case, tmp_path_factory.mktemp("drawings"))
        return made[key]

    return trial


def test_every_task_has_a_case():
    assert {case.options.name for case in CASES.values()} == set(plugins.names("tasks"))


@EVERY_CASE
def test_two_steps_change_the_model_and_report_a_finite_loss(case, trials):
    trial = trials(case)
    assert trial.reports[0].images == COUNT
    assert np.isfinite(trial.reports[0].loss) and trial.reports[0].loss > 0
    moved = [name for name, value in trial.model.state_dict().items() if not torch.equal(value, trial.before[name])]
    assert len(moved) > len(trial.before) / 2


@EVERY_CASE
def test_losses_of_a_batch_are_those_of_its_images_alone(case, trials):
    trial = trials(case)
    with torch.inference_mode():
        together, features = trial.task.losses(trial.model, trial.batch(range(COUNT)))
        alone = [trial.task.losses(trial.model, trial.batch([row]))[0] for row in range(COUNT)]
    assert together.shape == (COUNT,)
    assert len(set(together.tolist())) == COUNT
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-4, rtol=1e-4)
    assert all(feature.dim() == 4 and len(feature) == COUNT for feature in features)
    assert tuple(feature.shape[1] for feature in features) == trial.loss_head.channels


@EVERY_CASE
def test_augmented_images_train_too(case, trials):
    trial = trials(case)
    for augment in ("flip", "crop", "rotate", "ssd"):
        with torch.inference_mode():
            losses, _ = trial.task.losses(trial.model, trial.batch(range(COUNT), augment))
        assert torch.isfinite(losses).all()


@EVERY_CASE
def test_signals_do_not_depend_on_the_batch_size(case, trials):
    trial = trials(case)
    needs = trial.task.signal_names
    previous = trial.task.build_model()
    one, all_at_once = (
        next(
            inference.signals(trial.task, trial.model, trial.loss_head, trial.pool, needs, options, previous=previous)
        )[0]
        for options in (ScoreOptions(batch_size=1, precision="float32", workers=0), WHOLE)
    )
    assert set(one.arrays) == needs
    for name in needs:
        assert len(one[name]) == COUNT and one[name].ndim == (2 if name in MATRICES else 1)
        tolerance = 2e-3 if name == "embedding" else 1e-4
        np.testing.assert_allclose(one[name], all_at_once[name], atol=tolerance, rtol=tolerance)
    assert one["embedding"].dtype == np.float16 and one["embedding"].shape[1] <= 256
    assert one["class_scores"].shape[1] == len(trial.task.classes)
    for name in needs - {"predicted_loss", "embedding"}:
        assert (one[name] >= 0).all()


@EVERY_CASE
def test_only_the_signals_asked_for_are_computed(case, trials):
    trial = trials(case)
    batch = trial.batch([0, 1])
    with torch.inference_mode():
        found, _ = trial.task.signals(trial.model, batch, frozenset({"predicted_loss"}))
        margins, _ = trial.task.signals(trial.model, batch, frozenset({"margin"}))
    assert found == {}
    assert "margin" in margins and not {"embedding", "entropy", "mutual_information"} & set(margins)


@EVERY_CASE
def test_a_model_does_not_differ_from_itself(case, trials):
    trial = trials(case)
    with torch.inference_mode():
        distances = trial.task.discrepancy(trial.model, trial.model, trial.batch(range(COUNT)))
    assert distances.tolist() == [0.0] * COUNT


@EVERY_CASE
def test_predictions_survive_json_and_the_metric_lies_in_range(case, trials):
    trial = trials(case)
    said = list(inference.predictions(trial.task, trial.model, trial.examples, WHOLE))
    assert [row.item_id for row in said] == [example.item.id for example in trial.examples]
    assert all(row.size == example.size for row, example in zip(said, trial.examples, strict=True))
    assert all(Annotation.from_json(row.item_id, row.to_json()) == row for row in said)
    metrics = trial.task.evaluate(trial.examples, said)
    assert metrics and all(0 <= value <= 1 for value in metrics.values())


@EVERY_CASE
def test_the_truth_as_prediction_is_worth_one(case, trials):
    trial = trials(case)
    perfect = [_as_prediction(example.annotation, trial.task.classes, case) for example in trial.examples]
    metrics = trial.task.evaluate(trial.examples, perfect)
    assert all(value == pytest.approx(1.0) for value in metrics.values())


def _as_prediction(annotation, classes, case):
    if not getattr(case.options, "multi_label", False):
        return annotation
    scores = tuple(float(name in annotation.labels) for name in classes)
    return dataclasses.replace(annotation, labels=classes, label_scores=scores)


BROKEN = [(case, reason) for case in CASES.values() for reason in case.broken]


@pytest.mark.parametrize(("case", "reason"), BROKEN, ids=[f"{c.options.name}: {r}" for c, r in BROKEN])
def test_broken_annotations_are_refused_with_the_reason(case, reason, tmp_path):
    path = picture(tmp_path / "x.png", 0)
    with pytest.raises(DataError) as refused:
        make_task(case).encode(Item("x", "x.png", path.as_uri()), path, inspect(path), case.broken[reason])
    assert reason in refused.value.what


@EVERY_CASE
@pytest.mark.parametrize("more", [(), ("new",)], ids=["swapped", "one more"])
def test_a_model_of_other_classes_is_moved_to_these(case, more):
    first, second, *rest = case.options.classes
    task = make_task(case)
    other = type(task)(case.options, case.model, (second, *more, first, *rest))
    old, new = task.build_model(), other.build_model()
    new.load_state_dict(other.adapt(new, old.state_dict(), task.classes))
    blank = torch.zeros(1, 3, *task.input_shape)
    places = [other.classes.index(name) for name in (first, second)]
    with torch.inference_mode():
        if case.options.name == "detection":
            before, after = (
                model.eval().head(list(model.backbone(blank).values()))["cls_logits"] for model in (old, new)
            )
            before, after = before[..., [0, 1, 2]], after[..., [0, *(1 + place for place in places)]]
        else:
            before, after = old.eval()(blank)[:, [0, 1]], new.eval()(blank)[:, places]
    torch.testing.assert_close(before, after)
