"""A training of the real detector, stopped after each of its steps and gone on with from the file it left."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path

import torch

from alcli import images
from alcli.annotations import Annotation
from alcli.config import ModelOptions, TrainOptions
from alcli.engine import training_state
from alcli.engine.training import feature_channels, seed_everything, train
from alcli.engine.training_state import TrainingState
from alcli.items import Item
from alcli.models.loss_head import LossHead
from alcli.tasks import Example, Task
from alcli.tasks.detection import Detection
from tests.faults.sweeps import Point
from tests.support.scenes import COLOURS, Photos, scene

IMAGES, BATCH = 7, 3
STEPS_AN_EPOCH = 3


class Everything:
    """Keeps the state after every step."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._steps = folder, 0

    def due(self, steps: int) -> bool:
        self._steps = steps
        return True

    def keep(self, state: TrainingState) -> None:
        training_state.write(self._folder / f"{self._steps}", state)


def stopped_at_every_step(scratch: Path, steps: int) -> Iterator[Point]:
    """Where the weights of a resumed training are not, bit for bit, those of the undisturbed one."""
    task = Detection(Detection.Options(), ModelOptions(name="ssd-tiny", input_size=64), sorted(COLOURS))
    examples = _examples(scratch)
    torch.set_num_threads(1)
    epochs = -(-steps // STEPS_AN_EPOCH)
    expected = _weights(task, examples, epochs, Everything(scratch))
    for step in range(1, epochs * STEPS_AN_EPOCH + 1):
        found = _weights(task, examples, epochs, None, training_state.read(scratch / f"{step}"))
        yield Point(f"stopped after step {step}", () if found == expected else ("the weights differ",))


def _examples(scratch: Path) -> list[Example]:
    photos = Photos(scratch / "project").draw(IMAGES, 0)
    found = []
    for number in range(IMAGES):
        name, path = photos.name(number), photos.images / photos.name(number)
        boxes = tuple(scene(number)[1])
        facts = images.inspect(path)
        found.append(Example(Item(name, name, "u"), path, Annotation(name, boxes), (facts.width, facts.height)))
    return found


def _weights(
    task: Task,
    examples: Sequence[Example],
    epochs: int,
    checkpoints: Everything | None = None,
    state: TrainingState | None = None,
) -> str:
    seed_everything(0)
    model = task.build_model()
    head = LossHead(feature_channels(task, model))
    options = TrainOptions(epochs=epochs, min_steps=0, batch_size=BATCH, workers=0, augment="ssd")
    for _ in train(task, model, head, examples, options, checkpoints, state):
        pass
    digest = sha256()
    for value in (*model.state_dict().values(), *head.state_dict().values()):
        digest.update(value.numpy().tobytes())
    return digest.hexdigest()
