"""How near scoring comes to the limit of its two parts, and how far it is from a plain loop.

f: images/s of the bare forward pass on ready tensors; d: images/s of bare decoding and resizing; each on all cores.
On a machine without GPU both share the cores: the limit is 1 / (1/f + 1/d). With a GPU it is the slower of the two.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from alcli import images
from alcli.config import ModelOptions, ScoreOptions
from alcli.engine import inference
from alcli.engine.device import device, precision
from alcli.engine.training import feature_channels, seed_everything
from alcli.items import Item
from alcli.models import pixels, ssd
from alcli.models.loss_head import LossHead
from alcli.tasks import Example
from alcli.tasks.detection import Detection

SIDE = 320


def draw(folder: Path, count: int) -> list[Path]:
    """Photograph-like 640×480 JPEGs: smooth colours with texture, about 80 kB each."""
    rng = np.random.default_rng(0)
    paths = []
    for number in range(count):
        coarse = Image.fromarray(rng.integers(0, 256, (30, 40, 3), dtype=np.uint8))
        smooth = np.asarray(coarse.resize((640, 480), Image.Resampling.BICUBIC), dtype=np.float32)
        pixels = np.clip(smooth + rng.normal(0, 8, smooth.shape), 0, 255).astype(np.uint8)
        paths.append(folder / f"{number:05d}.jpg")
        Image.fromarray(pixels).save(paths[-1], quality=90)
    return paths


def decode(path: Path) -> int:
    """What a worker does for one image."""
    return pixels.to_tensor(images.load(path, at_least=(SIDE, SIDE)), (SIDE, SIDE)).shape[0]


def decoding(paths: list[Path]) -> float:
    """Images/s of bare decoding and resizing on all cores."""
    cores = os.cpu_count() or 1
    with ProcessPoolExecutor(cores) as processes:
        list(processes.map(decode, paths[: 4 * cores]))
        start = time.perf_counter()
        list(processes.map(decode, paths, chunksize=16))
        return len(paths) / (time.perf_counter() - start)


def forwarding(task: Detection, model: ssd.SSD, head: LossHead, count: int, batch_size: int) -> float:
    """Images/s of the bare forward pass with the loss head on ready tensors."""
    ready = torch.randn(batch_size, 3, SIDE, SIDE, device=device()).to(memory_format=torch.channels_last)
    with torch.inference_mode(), precision("auto"):
        for warm in range(2 + count // batch_size):
            if warm == 2:
                start = time.perf_counter()
            float(head(ssd.source_maps(model, ready)).sum())
    return (count // batch_size) * batch_size / (time.perf_counter() - start)


class PlainImages(Dataset):
    """PIL and nothing else."""

    def __init__(self, paths: list[Path]) -> None:
        self._paths = paths

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, number: int) -> torch.Tensor:
        picture = Image.open(self._paths[number]).convert("RGB").resize((SIDE, SIDE), Image.Resampling.BILINEAR)
        return torch.from_numpy(np.asarray(picture, dtype=np.float32) / 255).permute(2, 0, 1)


def plain_loop(model: ssd.SSD, head: LossHead, paths: list[Path]) -> float:
    """Images/s of what a script does: batch 4, float32, two workers, PIL, the whole detector."""
    model.to(memory_format=torch.contiguous_format)
    start = time.perf_counter()
    with torch.no_grad():
        for batch in DataLoader(PlainImages(paths), batch_size=4, num_workers=2):
            outputs = ssd.forward(model, (batch.to(device()) - 0.5) / 0.5)
            head(outputs.features).cpu()
    return len(paths) / (time.perf_counter() - start)


def main() -> None:
    """Print f, d, the limit, scoring's rate and the plain loop's."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--model", default="ssdlite320-mobilenet-v3")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    seed_everything(0)
    task = Detection(Detection.Options(), ModelOptions(name=arguments.model, input_size=SIDE), ("a", "b", "c"))
    model = task.build_model().eval().to(device()).to(memory_format=torch.channels_last)
    head = LossHead(feature_channels(task, model)).eval().to(device())
    options = ScoreOptions()
    shares = []
    with tempfile.TemporaryDirectory() as folder:
        paths = draw(Path(folder), arguments.images)
        examples = [Example(Item(path.name, path.name, "u"), path) for path in paths]
        for _ in range(arguments.rounds):
            f = forwarding(task, model, head, arguments.images, options.batch_size)
            d = decoding(paths)
            limit = min(f, d) if device().type == "cuda" else 1 / (1 / f + 1 / d)
            start = time.perf_counter()
            for _part in inference.signals(task, model, head, examples, frozenset({"predicted_loss"}), options):
                pass
            rate = len(paths) / (time.perf_counter() - start)
            shares.append(rate / limit)
            parts = f"f {f:6.1f}  d {d:6.1f}  limit {limit:6.1f}"
            print(f"{parts}  scoring {rate:6.1f} images/s: {rate / limit:.2f} of the limit", flush=True)
        plain = plain_loop(model, head, paths)
    print(f"median {sorted(shares)[len(shares) // 2]:.2f} of the limit (goal ≥ 0.9); plain loop {plain:.1f} images/s, "
          f"scoring is {rate / plain:.1f} × as fast")  # fmt: skip


if __name__ == "__main__":
    main()
