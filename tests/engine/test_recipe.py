"""Length in updates, the slow trunk with still norms, and the average of the weights."""

from __future__ import annotations

import pytest
import torch

from alcli.config import ModelOptions, TrainOptions
from alcli.engine.recipe import WeightAverage, build_optimizer, settle, stem
from alcli.engine.training import train
from alcli.errors import DataError
from alcli.models.loss_head import LossHead
from alcli.tasks.detection import Detection
from tests.engine.test_training_state import COUNT, Network, examples, options, parts

TRUNK = ("trunk.0.weight", "trunk.0.bias", "trunk.1.weight", "trunk.1.bias")
STATISTICS = ("trunk.1.running_mean", "trunk.1.running_var")


class Everything:
    """Keeps the state after every step."""

    def __init__(self) -> None:
        self.states = []

    def due(self, steps: int) -> bool:
        return True

    def keep(self, state) -> None:
        self.states.append(state)


def trained(pretrained: bool = True, checkpoints=None, **changes):
    """(weights before, weights after)."""
    task, model, head = parts()
    task.pretrained = pretrained
    before = {name: value.clone() for name, value in model.state_dict().items()}
    list(train(task, model, head, examples(), options(**changes), checkpoints))
    return before, model.state_dict()


@pytest.mark.parametrize(
    ("count", "changes", "batch_size", "epochs"),
    [
        (120, {}, 8, 30),  # 16 would make 240 updates, 8 make 450
        (40, {}, 8, 80),  # five batches an epoch
        (1, {}, 8, 400),
        (214, {}, 16, 30),  # 14 batches an epoch make 420 updates
        (208, {}, 8, 30),  # 13 would make 390
        (5000, {}, 16, 30),
        (40, {"min_steps": 0}, 16, 30),
        (40, {"batch_size": 16}, 16, 134),
        (40, {"epochs": 100}, 8, 100),
        (40, {"min_steps": 1000, "batch_size": 4}, 4, 100),
    ],
)
def test_few_images_train_in_small_batches_until_there_are_enough_updates(count, changes, batch_size, epochs):
    task = parts()[0]
    settled = settle(task, TrainOptions(**changes), count)
    assert (settled.batch_size, settled.epochs) == (batch_size, epochs)
    assert settle(task, settled, count) == settled


def test_a_training_has_the_least_updates():
    task, model, head = parts()
    checkpoints = Everything()
    reports = list(train(task, model, head, examples(), options(epochs=1, min_steps=10), checkpoints))
    assert [(report.epoch, report.epochs, report.images) for report in reports] == [(n, 3, COUNT) for n in (1, 2, 3)]
    assert len(checkpoints.states) == 12  # three epochs of four batches


@pytest.mark.parametrize("rate", [0.1, 1.0])
def test_the_trunk_learns_at_its_own_rate(rate):
    task, model, head = parts()
    settled = settle(task, options(learning_rate=0.5, trunk_rate=rate), COUNT)
    optimizer = build_optimizer(task, model, head, settled)
    rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    assert {rates[id(p)] for p in model.trunk.parameters()} == {0.5 * rate}
    assert {rates[id(p)] for p in (*model.output.parameters(), *head.parameters())} == {0.5}
    decays = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    assert {decays[id(p)] for p in model.parameters() if p.dim() > 1} == {5e-4}
    assert {decays[id(p)] for p in model.parameters() if p.dim() == 1} == {0.0}


def test_with_sgd_one_step_moves_the_trunk_a_tenth_as_far():
    one_step = {"epochs": 1, "batch_size": COUNT, "optimizer": "sgd", "warmup": 0.0, "weight_decay": 0.0, "ema": 0.0,
                "still_norms": "never", "gradient_clip": 1e9}  # fmt: skip
    before, slow = trained(trunk_rate=0.1, **one_step)
    _, fast = trained(trunk_rate=1.0, **one_step)
    for name in TRUNK:
        moved = fast[name] - before[name]
        if name != "trunk.0.bias":  # behind it a norm takes the mean away
            assert moved.abs().max() > 1e-4
        torch.testing.assert_close(slow[name] - before[name], 0.1 * moved, atol=1e-6, rtol=1e-3)
    assert torch.equal(slow["output.weight"], fast["output.weight"])


@pytest.mark.parametrize(
    ("pretrained", "changes", "still"),
    [
        (True, {"trunk_rate": 0.1}, True),
        (True, {"freeze_backbone": True}, True),
        (True, {"trunk_rate": 0.1, "still_norms": "never"}, False),
        (True, {}, False),  # at the full rate still norms make the network collapse
        (False, {}, False),
        (False, {"trunk_rate": 0.1}, False),
    ],
)
def test_norms_stay_still_in_a_slow_pretrained_trunk_only(pretrained, changes, still):
    before, after = trained(pretrained, **changes)
    assert [torch.equal(before[name], after[name]) for name in STATISTICS] == [still] * 2
    moved = not torch.equal(before["trunk.1.weight"], after["trunk.1.weight"])
    assert moved == ("freeze_backbone" not in changes)


@pytest.mark.parametrize("size", [320, 96])
def test_the_stem_ends_where_maps_are_an_eighth_as_wide(size):
    model_options = ModelOptions(name="ssd-mobilenet-v2", weights="none", input_size=size)
    task = Detection(Detection.Options(), model_options, ("a",))
    model = task.build_model()
    layers = stem(task, model)
    names = {module: name for name, module in task.backbone(model).named_modules()}
    # The fifth block still widens the map of a quarter before it halves it.
    assert (names[layers[0]], names[layers[-1]], len(layers)) == ("0.0.0", "0.4.conv.0.1", 20)
    assert sum(part.numel() for layer in layers for part in layer.parameters(recurse=False)) == 19_536
    assert model.training


def test_the_average_is_the_one_worked_out_by_hand():
    model, head = torch.nn.Linear(1, 1, bias=False), LossHead((1,))
    with torch.no_grad():
        model.weight.fill_(1.0)
    average = WeightAverage(model, head, decay=0.25)
    expected = 1.0
    for step, (weight, decay) in enumerate([(2.0, 1 / 10), (4.0, 2 / 11), (8.0, 0.25), (16.0, 0.25)]):
        with torch.no_grad():
            model.weight.fill_(weight)
        average.update(step)
        expected = decay * expected + (1 - decay) * weight
        assert float(average.state_dict()["model.weight"]) == pytest.approx(expected)
        assert float(model.weight.detach()) == weight
    average.install()
    assert float(model.weight.detach()) == pytest.approx(expected)


def test_the_model_is_the_average_of_the_weights_along_the_way():
    checkpoints = Everything()
    before, after = trained(False, checkpoints, ema=0.5)
    expected = before["output.weight"].clone()
    for step, state in enumerate(checkpoints.states):
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * state.tensors["model.output.weight"]
    torch.testing.assert_close(after["output.weight"], expected)
    assert not torch.equal(after["output.weight"], checkpoints.states[-1].tensors["model.output.weight"])


def test_without_it_the_last_weights_are_the_model():
    checkpoints = Everything()
    _, after = trained(False, checkpoints, ema=0.0)
    assert torch.equal(after["output.weight"], checkpoints.states[-1].tensors["model.output.weight"])
    assert not any(name.startswith("average.") for name in checkpoints.states[-1].tensors)


def test_norms_are_recomputed_with_the_averaged_weights():
    task, model, head = parts()
    list(train(task, model, head, examples(), options(augment="none", ema=0.5, batch_size=COUNT)))
    images = torch.stack([task.load(example, "none")[0] for example in examples()]).float() / 255
    with torch.no_grad():
        maps = model.trunk[0](images)
    torch.testing.assert_close(model.trunk[1].running_mean, maps.mean(dim=(0, 2, 3)))


def test_what_is_frozen_is_not_averaged():
    model = Network()
    model.trunk.requires_grad_(False)
    names = WeightAverage(model, LossHead((4,)), 0.9).state_dict()
    assert [name for name in names if name.startswith("model.")] == ["model.output.weight", "model.output.bias"]


def test_a_state_without_the_average_is_refused():
    task, model, head = parts()
    checkpoints = Everything()
    list(train(task, model, head, examples(), options(ema=0.0), checkpoints))
    with pytest.raises(DataError, match="does not fit"):
        list(train(task, model, head, examples(), options(ema=0.9), None, checkpoints.states[0]))
