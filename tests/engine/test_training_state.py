"""A training stopped after any step goes on as if nothing had happened, bit for bit."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn

from alcli.annotations import Annotation
from alcli.config import TrainOptions
from alcli.engine import training_state
from alcli.engine.training import seed_everything, train
from alcli.engine.training_state import Position, TrainingState
from alcli.errors import DataError, Interrupted
from alcli.items import Item, Refusal
from alcli.models.loss_head import LossHead
from alcli.tasks import Example

COUNT, BATCH, EPOCHS = 11, 3, 3
STEPS = 4 * EPOCHS


class Network(nn.Module):
    """Convolution, batch norm and dropout: weights, buffers, and a use of random numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.5))
        self.output = nn.Linear(4, 1)


class Regression:
    """The least that training asks of a task: images made from their number, augmented by chance."""

    loss_weight = 1.0

    def backbone(self, model):
        return model.trunk

    def load(self, example, augment):
        number = int(example.item.id)
        image = torch.full((3, 8, 8), number, dtype=torch.uint8)
        if augment != "none":
            image = image + torch.randint(0, 50, image.shape, dtype=torch.uint8)
        return image, {"value": torch.tensor(float(number))}, (8, 8)

    def losses(self, model, batch):
        maps = model.trunk(batch.images.float() / 255)
        wanted = torch.stack([target["value"] for target in batch.targets])
        return (model.output(maps.mean(dim=(2, 3))).squeeze(1) - wanted / 10) ** 2, [maps]


class Stopping:
    """Remembers the state after one step and stops there."""

    def __init__(self, after: int) -> None:
        self.after, self.state = after, None

    def due(self, steps: int) -> bool:
        return steps == self.after

    def keep(self, state: TrainingState) -> None:
        self.state = state
        raise Interrupted(15)


def parts():
    seed_everything(0)
    return Regression(), Network(), LossHead((4,))


def examples():
    return [Example(Item(str(n), str(n), "u"), None, Annotation(str(n)), (8, 8)) for n in range(COUNT)]


def options(**changes) -> TrainOptions:
    settings = {"epochs": EPOCHS, "min_steps": 0, "batch_size": BATCH, "workers": 0, "detach_after": 0.4,
                "learning_rate": 0.01}  # fmt: skip
    return TrainOptions(**{**settings, **changes})


def outcome(reports, *modules):
    weights = {f"{place}.{k}": v for place, module in enumerate(modules) for k, v in module.state_dict().items()}
    return [(row.epoch, row.images, row.loss, row.ranking) for row in reports], weights


def whole(**changes):
    task, model, head = parts()
    return outcome(list(train(task, model, head, examples(), options(**changes))), model, head)


def interrupted(tmp_path, after: int, workers: int = 0, **changes):
    """The same, stopped after a step, its state through a file, and gone on with by freshly built modules."""
    task, model, head = parts()
    stopping = Stopping(after)
    before = []
    with pytest.raises(Interrupted):
        before += itertools.chain(train(task, model, head, examples(), options(**changes), stopping))
    training_state.write(tmp_path / "state.safetensors", stopping.state)
    task, model, head = parts()
    torch.rand(17)  # whatever else the new process has drawn
    settings = options(**{**changes, "workers": workers})
    state = training_state.read(tmp_path / "state.safetensors")
    return outcome(list(train(task, model, head, examples(), settings, None, state)), model, head)


@pytest.mark.parametrize("after", range(1, STEPS + 1))
def test_stopped_after_every_step_the_weights_are_those_of_an_undisturbed_training(tmp_path, after):
    reports, weights = whole()
    rest, found = interrupted(tmp_path, after)
    assert {name for name in weights if not torch.equal(weights[name], found[name])} == set()
    assert rest == reports[(after - 1) // 4 :]


def test_with_momentum_and_with_workers_too(tmp_path):
    reports, weights = whole(optimizer="sgd")
    rest, found = interrupted(tmp_path, 6, workers=2, optimizer="sgd")
    assert all(torch.equal(weights[name], found[name]) for name in weights)
    assert rest == reports[1:]


def test_without_the_random_state_it_would_not_be_the_same(tmp_path, monkeypatch):
    _, weights = whole()
    monkeypatch.setattr(torch, "set_rng_state", lambda state: None)
    _, found = interrupted(tmp_path, 5)
    assert not all(torch.equal(weights[name], found[name]) for name in weights)


def test_the_position_survives_the_file(tmp_path):
    refusals = (Refusal("é", "n", "broken", "v", True),)
    position = Position(2, 3, (9.0, 0.1 + 0.2, 1e-300), refusals)
    state = TrainingState(position, {"steps": torch.tensor(4)}, training_state.environment())
    training_state.write(tmp_path / "s", state)
    found = training_state.read(tmp_path / "s")
    assert found.position == Position(2, 3, (9.0, 0.1 + 0.2, 1e-300), list(refusals))
    assert found.differences() == []


def test_another_number_of_threads_is_named():
    state = TrainingState(Position(), {}, {**training_state.environment(), "threads": "77"})
    assert state.differences() == [f"threads 77 then, {torch.get_num_threads()} now"]


@pytest.mark.parametrize("content", [b"", b"\x80\x04K\x01.", b"x" * 100])
def test_a_file_that_is_no_state_is_refused(tmp_path, content):
    (tmp_path / "s").write_bytes(content)
    with pytest.raises(DataError, match="not a half-done training"):
        training_state.read(tmp_path / "s")


def test_the_state_of_another_network_is_refused(tmp_path):
    task, model, head = parts()
    stopping = Stopping(1)
    with pytest.raises(Interrupted):
        list(train(task, model, head, examples(), options(), stopping))
    model.output = nn.Linear(4, 2)
    with pytest.raises(DataError, match="does not fit"):
        list(train(task, model, head, examples(), options(), None, stopping.state))
