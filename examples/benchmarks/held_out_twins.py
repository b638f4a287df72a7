"""How many held-out images have a near-duplicate among those trained on, with and without groups.

For each folder of images: embed all of them by the pretrained trunk as a cycle does, label them in five equal steps in
a random order, assign sides as `alcli train` does, and print the share of held-out images with a neighbor nearer than
`train.group_distance` times the typical distance in the training share: split by each image's pixels alone, by groups
found step by step, and by groups found when all are labeled at once. Reads MobileNetV2 weights from ALCLI_WEIGHTS.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from alcli import config
from alcli.artifacts import sides
from alcli.context import Context
from alcli.images import inspect
from alcli.items import Item
from alcli.selection.groups import near_pairs, typical_distance
from alcli.system.progress import Silent
from alcli.tasks import Example
from alcli.workspace import Workspace

STEPS = 5


def main(arguments: Sequence[str] | None = None) -> None:
    """Print one line per folder."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--share", type=float, default=0.2)
    parser.add_argument("--input-size", type=int, default=160)
    given = parser.parse_args(arguments)
    for folder in given.folders:
        with tempfile.TemporaryDirectory() as root:
            measure(folder, Path(root), given.share, given.input_size)


def measure(folder: Path, root: Path, share: float, side: int) -> None:
    """Print the shares of one folder."""
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".jpg", ".png"))
    items = [Item(path.relative_to(folder).as_posix(), path.name, str(path)) for path in files]
    examples = [Example(item, path, None, (1, 1)) for item, path in zip(items, files, strict=True)]
    facts = {item.id: inspect(path) for item, path in zip(items, files, strict=True)}
    settings = [
        "task.name=classification", "model.name=mobilenet-v2", f"model.weights={os.environ['ALCLI_WEIGHTS']}",
        f"model.input_size={side}", f"train.validation={share}", "score.workers=0",
    ]  # fmt: skip
    order = np.random.default_rng(0).permutation(len(examples))
    results: dict[str, str] = {}
    vectors = np.zeros(0)
    for name, steps in (("step by step", STEPS), ("at once", 1)):
        Workspace.create(root / name, {}).close()
        workspace = Workspace.open(root / name)
        with workspace.lock():
            context = Context(workspace, workspace.configuration(settings), Silent())
            for count in range(1, steps + 1):
                parts = np.split(order, [len(order) * count // steps])
                labeled, pool = ([examples[row] for row in sorted(part.tolist())] for part in parts)
                ours = {example.item.id: facts[example.item.id] for example in labeled}
                grouped = sides.assign_sides(context, labeled, ours, ("thing",), partial(list, pool))
            if not len(vectors):
                vectors = embeddings(context, examples)
        workspace.close()
        results[name] = twins(vectors, examples, grouped, share, context.config.train.group_distance)
    results = {"pixels": twins(vectors, examples, facts, share, config.TrainOptions().group_distance), **results}
    print(folder, len(files), *(f"| {name}: {text}" for name, text in results.items()), flush=True)


def embeddings(context: Context, examples: Sequence[Example]) -> np.ndarray:
    """(n, d) the features that the sides were found by."""
    (path,) = (context.workspace.root / "cache").glob("*.safetensors")
    content = sides.read_arrays(path)
    known = dict(zip(content.notes["images"], content.arrays["embedding"], strict=True))
    return np.stack([known[f"{example.item.id} {example.item.version}"] for example in examples])


def twins(
    vectors: np.ndarray, examples: Sequence[Example], facts: dict[str, sides.ImageFacts], share: float, distance: float
) -> str:
    """Held-out images, and how many of them have a near-duplicate in the training share."""
    held_out = {example.item.id for example in sides.split_held_out(examples, facts, share)[1]}
    is_held_out = np.array([example.item.id in held_out for example in examples])
    rows = np.flatnonzero(is_held_out)
    ones, others, _ = near_pairs(vectors, rows, distance * typical_distance(vectors))
    torn = len(set(ones[~is_held_out[others]].tolist()))
    return f"{torn} of {len(rows)} = {100 * torn / max(len(rows), 1):.1f} %"


if __name__ == "__main__":
    main()
