from __future__ import annotations

import numpy as np
import pytest
import torch

from alcli.annotations import Annotation
from alcli.config import ModelOptions, ScoreOptions
from alcli.engine import inference
from alcli.engine.training import feature_channels, seed_everything
from alcli.items import Item
from alcli.models.loss_head import LossHead
from alcli.tasks import Example
from alcli.tasks.detection import Detection
from tests.support.scenes import scene

NEEDS = frozenset({"predicted_loss", "entropy"})


@pytest.fixture
def parts(tmp_path):
    seed_everything(0)
    task = Detection(Detection.Options(), ModelOptions(name="ssd-tiny", input_size=64), ("blue", "green", "red"))
    model = task.build_model()
    examples = []
    for number in range(7):
        picture, boxes = scene(number)
        path = tmp_path / f"{number}.png"
        picture.save(path)
        examples.append(Example(Item(path.name, path.name, "u"), path, Annotation(path.name, tuple(boxes)), (96, 80)))
    return task, model, LossHead(feature_channels(task, model)), examples


def options(**changes) -> ScoreOptions:
    return ScoreOptions(**{"batch_size": 2, "shard": 3, "workers": 0, "precision": "float32", **changes})


def joined(stream):
    rows = list(stream)
    ids = [item_id for signals, _ in rows for item_id in signals.item_ids]
    arrays = {name: np.concatenate([signals[name] for signals, _ in rows]) for name in NEEDS}
    return ids, arrays, [refusal for _, refused in rows for refusal in refused]


def test_parts_cover_every_item_once_and_never_share_a_batch(parts):
    task, model, head, examples = parts
    found = list(inference.signals(task, model, head, examples, NEEDS, options()))
    assert [len(signals) for signals, _ in found] == [3, 3, 1]


def test_signals_do_not_depend_on_batch_part_or_workers(parts):
    task, model, head, examples = parts
    ids, reference, _ = joined(inference.signals(task, model, head, examples, NEEDS, options(batch_size=1, shard=1)))
    for changes in ({}, {"batch_size": 7, "shard": 100}, {"workers": 2}):
        other_ids, other, _ = joined(inference.signals(task, model, head, examples, NEEDS, options(**changes)))
        assert other_ids == ids
        for name in NEEDS:
            assert np.allclose(other[name], reference[name], atol=1e-4)


def test_a_pass_that_goes_on_gives_the_same_bytes(parts):
    task, model, head, examples = parts
    whole = [signals for signals, _ in inference.signals(task, model, head, examples, NEEDS, options())]
    rest = [signals for signals, _ in inference.signals(task, model, head, examples[3:], NEEDS, options())]
    for one, other in zip(whole[1:], rest, strict=True):
        assert all((one[name] == other[name]).all() for name in NEEDS)


def test_only_what_is_needed_is_computed(parts):
    task, model, head, examples = parts
    signals, _ = next(inference.signals(task, model, head, examples, frozenset({"entropy"}), options()))
    assert set(signals.arrays) == {"entropy"}


def test_broken_images_are_named_and_the_rest_is_scored(parts):
    task, model, head, examples = parts
    for number in (0, 3, 4, 5):
        examples[number].path.write_bytes(b"broken")
    ids, arrays, refusals = joined(inference.signals(task, model, head, examples, NEEDS, options()))
    assert ids == ["1.png", "2.png", "6.png"]
    assert [refusal.id for refusal in refusals] == ["0.png", "3.png", "4.png", "5.png"]
    assert len(arrays["entropy"]) == 3


def test_predictions_and_losses_come_in_order(parts):
    task, model, head, examples = parts
    assert [row.item_id for row in inference.predictions(task, model, examples, options())] == [
        e.item.id for e in examples
    ]
    true, predicted = inference.losses(task, model, head, examples, options())
    assert true.shape == predicted.shape == (7,)
    assert (true > 0).all()


def test_progress_counts_every_item(parts):
    task, model, head, examples = parts
    examples[1].path.write_bytes(b"")
    seen = []
    list(inference.signals(task, model, head, examples, NEEDS, options(), seen.append))
    assert sum(seen) == 7


def test_bfloat16_keeps_the_order_nearly(parts):
    task, model, head, examples = parts
    _, full, _ = joined(inference.signals(task, model, head, examples, NEEDS, options()))
    _, half, _ = joined(inference.signals(task, model, head, examples, NEEDS, options(precision="bfloat16")))
    assert half["predicted_loss"].dtype == np.float32
    assert len(np.unique(half["predicted_loss"])) == 7
    assert torch.allclose(torch.tensor(full["entropy"]), torch.tensor(half["entropy"]), atol=0.05)
