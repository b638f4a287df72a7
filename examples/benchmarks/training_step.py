"""What one training step of `ssd-mobilenet-v2` spends, and on what: CPU seconds and memory, arms in turns.

Arms: `plain`, torch's own passes; `lean`, what alcli trains with; `stem`, the same with `train.freeze_stem`. Each turn
of an arm is a process of its own, so that its peak memory is its own. Images are random with ten boxes each, 640×480
JPEGs for the decoding. Run it with OMP_NUM_THREADS=1; without weights (ALCLI_WEIGHTS) the trunk starts at random.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

from alcli.annotations import Annotation, Box
from alcli.config import ModelOptions, TrainOptions
from alcli.engine.recipe import WeightAverage, build_optimizer, freeze, set_modes
from alcli.engine.training import feature_channels, seed_everything
from alcli.images import inspect
from alcli.items import Item
from alcli.models.lean import lean
from alcli.models.loss_head import LossHead, total_loss
from alcli.tasks import Batch, Example
from alcli.tasks.detection import Detection

ARMS = ("plain", "lean", "stem")
PARTS = ("decode", "forward", "backward", "optimiser")


def example(task: Detection, folder: Path, number: int) -> Example:
    """A random image with ten boxes, as a file."""
    random = np.random.default_rng(number)
    path = folder / f"{number}.jpg"
    Image.fromarray(random.integers(0, 256, (30, 40, 3), dtype=np.uint8)).resize((640, 480)).save(path)
    corners = random.uniform(0, (400, 300), (10, 2))
    ends = corners + random.uniform(30, 150, (10, 2))
    boxes = tuple(
        Box(str(random.choice(task.classes)), *corner, *end)
        for corner, end in zip(corners.tolist(), ends.tolist(), strict=True)
    )
    return task.encode(Item(path.name, path.name, "u"), path, inspect(path), Annotation(path.name, boxes, (640, 480)))


def load(task: Detection, examples: list[Example]) -> Batch:
    """Decode a batch as training does, in this process."""
    images, targets, sizes = zip(*(task.load(each, "flip") for each in examples), strict=True)
    pixels = torch.stack([image.permute(1, 2, 0) for image in images]).permute(0, 3, 1, 2)
    return Batch(examples, pixels, list(targets), list(sizes))


def measure(arm: str, batch_size: int, steps: int, side: int) -> dict[str, float]:
    """Median CPU seconds of each part of a step, and the peak memory of this process in MB."""
    seed_everything(0)
    weights = os.environ.get("ALCLI_WEIGHTS", "none")
    options = TrainOptions(freeze_stem=arm == "stem")
    task = Detection(
        Detection.Options(), ModelOptions(name="ssd-mobilenet-v2", weights=weights, input_size=side), ("a", "b", "c")
    )
    model = task.build_model().to(memory_format=torch.channels_last)
    head = LossHead(feature_channels(task, model))
    freeze(task, model, options)
    optimizer = build_optimizer(task, model, head, options)
    average = WeightAverage(model, head, options.ema)
    set_modes(task, model, head, options)
    passes: Callable[[nn.Module], contextlib.AbstractContextManager[None]] = (
        (lambda _: contextlib.nullcontext()) if arm == "plain" else lean
    )
    seconds: list[list[float]] = []
    with tempfile.TemporaryDirectory() as folder:
        examples = [example(task, Path(folder), number) for number in range(batch_size)]
        for _ in range(steps + 1):
            marks = [time.process_time()]
            batch = load(task, examples)
            marks.append(time.process_time())
            with passes(model):
                losses, features = task.losses(model, batch)
            total = total_loss(losses.float(), head(features), 1.0, options.margin, options.loss_head)
            marks.append(time.process_time())
            optimizer.zero_grad(set_to_none=True)
            total.backward()
            marks.append(time.process_time())
            nn.utils.clip_grad_norm_([*model.parameters(), *head.parameters()], options.gradient_clip)
            optimizer.step()
            average.update(0)
            marks.append(time.process_time())
            seconds.append([after - before for before, after in itertools.pairwise(marks)])
    parts = [statistics.median(part) for part in zip(*seconds[1:], strict=True)]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {**dict(zip(PARTS, parts, strict=True)), "peak_mb": peak}


def main() -> None:
    """Print a line per arm: medians over the turns, and the speed as a ratio to `plain`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--side", type=int, default=320)
    parser.add_argument("--arm", choices=ARMS, help="measure this arm in this process and print JSON")
    given = parser.parse_args()
    if given.arm:
        print(json.dumps(measure(given.arm, given.batch_size, given.steps, given.side)))
        return
    turns: dict[str, list[dict[str, float]]] = {arm: [] for arm in ARMS}
    for _ in range(given.turns):
        for arm in ARMS:
            command = [sys.executable, "-W", "ignore", __file__, "--arm", arm, "--batch-size", str(given.batch_size)]
            command += ["--steps", str(given.steps), "--side", str(given.side)]
            output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            turns[arm].append(json.loads(output))
    print(f"ssd-mobilenet-v2, {given.side} px, batches of {given.batch_size}; CPU s per step, medians")
    plain = 0.0
    for arm in ARMS:
        medians = {key: statistics.median(turn[key] for turn in turns[arm]) for key in turns[arm][0]}
        step = sum(medians[part] for part in PARTS)
        plain = plain or step
        parts = "  ".join(f"{part} {medians[part]:.2f}" for part in PARTS)
        print(f"{arm:6} {parts}  step {step:.2f}  {plain / step:.2f} × plain  peak {medians['peak_mb']:,.0f} MB")


if __name__ == "__main__":
    main()
