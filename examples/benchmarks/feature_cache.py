"""What the features of a frozen network cost the first and the second time: CPU seconds of whole processes.

    python examples/benchmarks/feature_cache.py --images 3000 --rounds 3
    python examples/benchmarks/feature_cache.py --photos FOLDER --weights FILE --images 3000

Each run is a process of its own: it builds the network and asks for the features of all images, as `alcli simulate
--frozen` does. First with an empty cache, then with that cache, then after one image in a hundred was replaced. `bare`
does the same without asking for any feature: what Python, its imports and the network cost. Counted are user and system
time, the decoding processes' included.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from scoring_throughput import draw

WAYS = ("bare", "first", "second", "1 % replaced")
SUFFIXES = (".jpg", ".jpeg", ".png")


def cpu_seconds() -> float:
    """Of this process and of its children that have ended."""
    both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in both)


def look(folder: Path, cache: Path, weights: str, count: int) -> None:
    """Ask for the features of ``count`` images; prints the CPU seconds of that alone."""
    from alcli.config import Config, ModelOptions, ScoreOptions
    from alcli.items import Item, path_to_uri
    from alcli.simulation import features
    from alcli.system.progress import Silent
    from alcli.tasks import Example
    from alcli.tasks.classification import Classification

    config = Config(
        task=Classification.Options(name="classification"),
        model=ModelOptions(name="mobilenet-v2", weights=weights),
        score=ScoreOptions(backend="torch", precision="float32"),
    )
    paths = sorted(folder.iterdir())[:count]
    examples = [Example(Item(path.name, path.name, path_to_uri(path)), path) for path in paths]
    network = features.starting_model(config, ("thing",)) if not examples else None
    before = cpu_seconds()
    if network is None:
        features.extract(config, examples, cache, Silent())
    print(json.dumps({"features": cpu_seconds() - before}))


def run(way: str, folder: Path, cache: Path, weights: str, count: int) -> tuple[float, float]:
    """One process; (CPU seconds of the whole, of the features alone)."""
    images = str(0 if way == "bare" else count)
    command = [sys.executable, __file__, "--look", str(folder), str(cache), "--weights", weights, "--images", images]
    before = cpu_seconds()
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    whole, alone = cpu_seconds() - before, float(json.loads(text)["features"])
    print(f"  {way:13} whole process {whole:7.2f} CPU s, features alone {alone:7.2f}  load {os.getloadavg()[0]:.1f}",
          flush=True)  # fmt: skip
    return whole, alone


def replace_some(folder: Path, count: int, turn: int) -> None:
    """Give one image in a hundred the content of its neighbour, with a byte more."""
    paths = sorted(folder.iterdir())[:count]
    for at in range(turn, len(paths) - 1, 100):
        paths[at].write_bytes(paths[at + 1].read_bytes() + bytes([turn]))


def collect(photos: Path, folder: Path, count: int) -> None:
    """Copy the first photographs of a folder and those below it."""
    found = (path for path in sorted(photos.rglob("*")) if path.suffix.lower() in SUFFIXES)
    for number, path in zip(range(count), found, strict=False):
        shutil.copyfile(path, folder / f"{number:05d}{path.suffix.lower()}")


def main() -> None:
    """Print each run, the medians, and what the second time costs in percent of the first."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=3000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--weights", default="none")
    parser.add_argument("--look", nargs=2, type=Path, metavar=("IMAGES", "CACHE"))
    given = parser.parse_args()
    if given.look:
        look(*given.look, given.weights, given.images)
        return
    runs: dict[str, list[tuple[float, float]]] = {way: [] for way in WAYS}
    with tempfile.TemporaryDirectory() as temporary:
        folder, cache = Path(temporary, "images"), Path(temporary, "cache")
        folder.mkdir()
        if given.photos:
            collect(given.photos, folder, given.images)
        else:
            draw(folder, given.images)
        for turn in range(given.rounds):
            shutil.rmtree(cache, ignore_errors=True)
            for way in WAYS:
                if way == WAYS[-1]:
                    replace_some(folder, given.images, turn)
                runs[way].append(run(way, folder, cache, given.weights, given.images))
        size = sum(path.stat().st_size for path in cache.rglob("*") if path.is_file())
    medians = {way: [statistics.median(values) for values in zip(*each, strict=True)] for way, each in runs.items()}
    whole, alone = medians["first"]
    for way, (seconds, features) in medians.items():
        print(f"{way:13} whole process {seconds:7.2f} CPU s = {100 * seconds / whole:6.2f} % of the first time,"
              f" features alone {features:7.3f} = {100 * features / alone:6.2f} %")  # fmt: skip
    print(f"{size / 1e6:.1f} MB on disk, {size / given.images / 1e3:.1f} kB an image")


if __name__ == "__main__":
    main()
