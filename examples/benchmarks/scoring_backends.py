"""What scoring costs with each backend, beside the limit of its parts, and beside busy processes.

Every pass is a process of its own: it loads a detector, decodes JPEGs and computes the signals that the default
strategy and its reasons read. Counted is CPU time, the decoding processes' included, so that other work on the machine
hardly shows; only the passes beside busy processes are counted by the clock. Backends take turns.

    python examples/benchmarks/scoring_backends.py --images 400 --rounds 5
    python examples/benchmarks/scoring_backends.py --images 400 --rounds 3 --busy

``--before FOLDER`` names the files of an earlier alcli, whose default is then what the others are compared with.

f: images per CPU second of the bare forward pass; d: of bare decoding and resizing; limit: 1 / (1/f + 1/d).
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from scoring_throughput import SIDE, decode, draw

BEFORE = "an earlier alcli's default"
WAYS = {
    "torch, precision auto": ("torch", "auto"),
    "torch float32": ("torch", "float32"),
    "openvino float32": ("openvino", "float32"),
    "openvino bfloat16": ("openvino", "bfloat16"),
}
NEEDS = frozenset({"margin", "class_uncertainty", "embedding", "class_scores", "expected_objects", "tie"})


def cpu_seconds() -> float:
    """Of this process and of its children that have ended."""
    both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in both)


def make(model_name: str) -> tuple[Any, Any, Any]:
    """Task, network and loss head, the same in each process."""
    import torch

    from alcli.config import ModelOptions
    from alcli.engine.training import feature_channels, seed_everything
    from alcli.models.loss_head import LossHead
    from alcli.tasks.detection import Detection

    seed_everything(0)
    options = ModelOptions(name=model_name, weights="none", input_size=SIDE)
    task = Detection(Detection.Options(), options, ("a", "b", "c"))
    model = task.build_model().eval().to(memory_format=torch.channels_last)
    return task, model, LossHead(feature_channels(task, model)).eval()


def use(backend: str, precision: str, task: Any, model: Any, cache: Path) -> Any:
    """The network as a backend computes it."""
    if backend == "torch":
        return model
    from alcli.engine.compilation import Plan, compile_network

    return compile_network(model, Plan.of(model, task.input_shape, 16, precision, NEEDS), cache)


def score(backend: str, precision: str, folder: Path, cache: Path, name: str) -> None:
    """One pass; prints its seconds of CPU and of the clock, and those of the conversion or its reading."""
    from alcli.config import ScoreOptions
    from alcli.engine import inference
    from alcli.items import Item
    from alcli.tasks import Example

    task, model, head = make(name)
    before = cpu_seconds()
    network = use(backend, precision, task, model, cache)
    compiled = cpu_seconds() - before
    options = ScoreOptions(precision="float32" if backend == "openvino" else precision)
    examples = [Example(Item(path.name, path.name, "u"), path) for path in sorted(folder.glob("*.jpg"))]
    before, start = cpu_seconds(), time.perf_counter()
    for _part in inference.signals(task, network, head, examples, NEEDS, options):
        pass
    seconds, clock = cpu_seconds() - before, time.perf_counter() - start
    print(json.dumps({"cpu": seconds, "clock": clock, "compiled": compiled, "images": len(examples)}))


def run(way: str, folder: Path, cache: Path, name: str) -> dict[str, float]:
    """One pass in a process of its own; ``whole``: its CPU seconds from start to end."""
    backend = WAYS.get(way, ("torch", "auto"))
    command = [sys.executable, __file__, "--score", *backend, str(folder), str(cache), "--model", name]
    environment = {**os.environ, "PYTHONPATH": os.environ["ALCLI_BEFORE"]} if way == BEFORE else None
    before = cpu_seconds()
    text = subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout
    result = {**json.loads(text), "whole": cpu_seconds() - before}
    rates = f"{result['images'] / result['cpu']:6.1f} images/CPU s  {result['images'] / result['clock']:6.1f} images/s"
    print(f"  {way:28} {rates}  whole process {result['whole']:5.1f} CPU s  load {os.getloadavg()[0]:.1f}", flush=True)
    return result


def forwarding(precision: str, name: str, count: int) -> float:
    """Images per CPU second of the bare compiled network on ready tensors."""
    import torch

    task, model, _ = make(name)
    images = torch.randn(16, 3, SIDE, SIDE).to(memory_format=torch.channels_last)
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        network = use("openvino", precision, task, model, Path(folder))
        network.run(images)
        before = cpu_seconds()
        for _ in range(count // 16):
            network.run(images)
        return count // 16 * 16 / (cpu_seconds() - before)


def decoding(paths: list[Path]) -> float:
    """Images per CPU second of bare decoding and resizing."""
    before = cpu_seconds()
    for path in paths:
        decode(path)
    return len(paths) / (cpu_seconds() - before)


def spin() -> None:
    """Keep one core busy until killed."""
    while True:
        sum(range(100_000))


def ways() -> list[str]:
    """What takes turns; the first is what the others are compared with."""
    return [BEFORE, *WAYS] if "ALCLI_BEFORE" in os.environ else list(WAYS)


def quiet(folder: Path, name: str, rounds: int) -> None:
    """Print CPU rates of each backend, its conversion, and the share of the limit."""
    paths = sorted(folder.glob("*.jpg"))
    rows: dict[str, list[dict[str, float]]] = {way: [] for way in ways()}
    limits = []
    with tempfile.TemporaryDirectory() as cache:
        first = run("openvino float32", folder, Path(cache), name)
        for _ in range(rounds):
            for way, done in rows.items():
                done.append(run(way, folder, Path(cache), name))
            f, d = forwarding("bfloat16", name, 320), decoding(paths)
            limits.append(1 / (1 / f + 1 / d))
            print(f"  f {f:.1f}  d {d:.1f}  limit {limits[-1]:.1f} images/CPU s", flush=True)
    limit = statistics.median(limits)
    rates = {way: statistics.median(each["images"] / each["cpu"] for each in done) for way, done in rows.items()}
    first_rate = next(iter(rates.values()))
    for way, rate in rates.items():
        whole, compiled = (statistics.median(each[key] for each in rows[way]) for key in ("whole", "compiled"))
        print(f"{way:32} {rate:6.1f} images/CPU s  {rate / first_rate:.2f} x the first  {rate / limit:.2f} of the limit"
              f"  whole process {whole:5.1f} s, of these {compiled:.1f} to read the network")  # fmt: skip
    whole, compiled = first["whole"], first["compiled"]
    print(f"not converted before: openvino float32, whole process {whole:.1f} s, of these {compiled:.1f} to convert")


def busy(folder: Path, name: str, rounds: int) -> None:
    """Print the clock's rate of each backend alone, and beside one busy process for each core."""
    rows: dict[str, list[tuple[float, float]]] = {way: [] for way in ways()}
    cores = os.cpu_count() or 1
    with tempfile.TemporaryDirectory() as cache:
        run("openvino float32", folder, Path(cache), name)
        for _ in range(rounds):
            for way, done in rows.items():
                alone = run(way, folder, Path(cache), name)
                others = [multiprocessing.Process(target=spin, daemon=True) for _ in range(cores)]
                for other in others:
                    other.start()
                beside = run(way, folder, Path(cache), name)
                for other in others:
                    other.kill()
                    other.join()
                done.append((alone["images"] / alone["clock"], beside["images"] / beside["clock"]))
    for way, done in rows.items():
        alone, beside = (statistics.median(values) for values in zip(*done, strict=True))
        print(f"{way:32} {alone:6.1f} images/s, beside {cores} busy processes {beside:6.1f}: {beside / alone:.2f}")


def main() -> None:
    """Print either comparison."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--model", default="ssd-mobilenet-v2")
    parser.add_argument("--busy", action="store_true")
    parser.add_argument("--before", metavar="FOLDER")
    parser.add_argument("--without", action="append", default=[], choices=list(WAYS))
    parser.add_argument("--score", nargs=4, metavar=("BACKEND", "PRECISION", "IMAGES", "CACHE"))
    arguments = parser.parse_args()
    if arguments.score:
        from alcli.system.threads import sleep_while_waiting

        sleep_while_waiting()  # as in the command line
        backend, precision, images, cache = arguments.score
        score(backend, precision, Path(images), Path(cache), arguments.model)
        return
    for way in arguments.without:
        del WAYS[way]
    if arguments.before:
        os.environ["ALCLI_BEFORE"] = arguments.before
    with tempfile.TemporaryDirectory() as folder:
        draw(Path(folder), arguments.images)
        (busy if arguments.busy else quiet)(Path(folder), arguments.model, arguments.rounds)


if __name__ == "__main__":
    main()
