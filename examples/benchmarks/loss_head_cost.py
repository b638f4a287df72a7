"""What the loss head costs in scoring and training on `ssdlite320-mobilenet-v3`: the same steps with and without it.

Both variants alternate within one run, so that a noisy neighbor hits both; the medians' ratio is printed.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch

from alcli.config import ModelOptions
from alcli.engine.device import device, precision, training_precision
from alcli.engine.training import feature_channels, seed_everything
from alcli.models import ssd
from alcli.models.loss_head import LossHead, total_loss
from alcli.tasks import Batch
from alcli.tasks.detection import Detection


def make_batch(count: int, side: int) -> Batch:
    """Random images with ten boxes each."""
    targets = []
    for _ in range(count):
        corner = torch.rand(10, 2) * side * 0.7
        boxes = torch.cat([corner, corner + 20 + torch.rand(10, 2) * side * 0.2], dim=1)
        targets.append({"boxes": boxes, "labels": torch.randint(1, 4, (10,))})
    return Batch([], torch.randint(0, 256, (count, 3, side, side), dtype=torch.uint8), targets, [])


def compare(plain: Callable[[], None], with_head: Callable[[], None], rounds: int) -> tuple[float, float]:
    """Median seconds of both, run in turns."""
    times: list[tuple[float, float]] = []
    for number in range(rounds + 2):
        pair = []
        for function in (plain, with_head) if number % 2 else (with_head, plain):
            start = time.perf_counter()
            function()
            if device().type == "cuda":
                torch.cuda.synchronize()
            pair.append(time.perf_counter() - start)
        times.append((pair[0], pair[1]) if number % 2 else (pair[1], pair[0]))
    first, second = zip(*times[2:], strict=True)
    return statistics.median(first), statistics.median(second)


def main() -> None:
    """Print the loss head's share of scoring (goal ≤ 3 %) and of training (goal ≤ 6 %)."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--batch-size", type=int, default=16)
    arguments = parser.parse_args()
    seed_everything(0)
    task = Detection(Detection.Options(), ModelOptions(name="ssdlite320-mobilenet-v3"), ("a", "b", "c"))
    model = task.build_model().to(device()).to(memory_format=torch.channels_last)
    head = LossHead(feature_channels(task, model)).to(device())
    batch = make_batch(arguments.batch_size, 320)
    parameters = [*model.parameters(), *head.parameters()]

    def scoring(use_head: bool) -> None:
        model.eval()
        with torch.inference_mode(), precision("auto"):
            outputs = ssd.forward(model, task._normalize(model, batch))
            if use_head:
                head(outputs.features)

    def training(use_head: bool) -> None:
        model.train()
        with training_precision("auto"):
            losses, features = task.losses(model, batch)
        loss = total_loss(losses, head(features), 1.0, 1.0) if use_head else losses.mean()
        for parameter in parameters:
            parameter.grad = None
        loss.backward()

    for name, step, goal in (("scoring", scoring, 3), ("training", training, 6)):
        plain, with_head = compare(lambda step=step: step(False), lambda step=step: step(True), arguments.rounds)
        share = 100 * (with_head / plain - 1)
        rates = [arguments.batch_size / seconds for seconds in (plain, with_head)]
        both = f"{rates[0]:7.1f} images/s without, {rates[1]:7.1f} with the loss head"
        print(f"{name:9} {both}: {share:+.1f} % (goal ≤ {goal})")


if __name__ == "__main__":
    main()
