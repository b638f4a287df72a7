"""Time and memory of reading a predictions file: ``python read_predictions.py [IMAGES] [FOLDER]``.

Writes a file of IMAGES (1,000,000) images with five boxes each, and checks it as ``alcli check-predictions`` does.
"""

from __future__ import annotations

import random
import resource
import sys
import time
from pathlib import Path

from alcli.predictions import Rules
from alcli.predictions.sources import read_predictions
from alcli.predictions.survey import Survey

CLASSES = ("cat", "dog", "owl")


def write(path: Path, images: int) -> None:
    """Write the file; boxes and scores differ from line to line."""
    draw = random.Random(0)
    with path.open("w", encoding="utf-8") as stream:
        for number in range(images):
            boxes = [[draw.randint(0, 300), draw.randint(0, 200), draw.randint(301, 640), draw.randint(201, 480)]
                     for _ in range(5)]  # fmt: skip
            scores = [round(draw.random(), 4) for _ in range(5)]
            labels = ", ".join(f'"{draw.choice(CLASSES)}"' for _ in range(5))
            name = f"camera_{number % 50:02d}/frame_{number:07d}.jpg"
            stream.write(f'{{"name": "{name}", "boxes": {boxes}, "scores": {scores}, "labels": [{labels}]}}\n')


def main() -> None:
    """Measure and print."""
    images = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    path = Path(sys.argv[2] if len(sys.argv) > 2 else ".") / "benchmark-predictions.jsonl"
    write(path, images)
    before = time.process_time()
    survey = Survey()
    for entry in read_predictions(path, Rules(CLASSES)):
        survey.add(entry)
    seconds = time.process_time() - before
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    size = path.stat().st_size / 1e6
    print(f"{survey.images} images, {size:.0f} MB: {seconds:.1f} s of one core, {peak:.0f} MiB peak")
    path.unlink()


if __name__ == "__main__":
    main()
