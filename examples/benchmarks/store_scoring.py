"""How fast is scoring a pool in S3, with an empty and with a full cache, beside the same pool in a folder?

The store is moto's server, a process of its own on this machine, whose CPU time is counted apart. The three passes run
in turn, each in a fresh process; what is timed is the pass alone, from the list of items to their signals.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import fsspec
import requests
from scoring_throughput import draw

POOL = "s3://bench/photos"
WAYS = ("local", "warm", "cold")
SIGNALS = frozenset({"embedding", "predicted_loss"})


@contextmanager
def store() -> Iterator[subprocess.Popen[bytes]]:
    """A local S3, which the environment names."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    os.environ |= {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    command = [sys.executable, "-W", "ignore", "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while True:
            try:
                requests.get(url, timeout=5)
                break
            except requests.ConnectionError:
                assert server.poll() is None, "the store has ended"
                time.sleep(0.1)
        yield server
    finally:
        server.terminate()
        server.wait(30)


def cpu_of(process: subprocess.Popen[bytes]) -> float:
    """CPU seconds of a running process."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def make(folder: Path, count: int, workers: int | None) -> None:
    """The same pool in a folder and in the store, and a workspace with a trained model for each."""
    photos, labels = folder / "photos", folder / "labels"
    photos.mkdir()
    labels.mkdir()
    paths = draw(photos, count)
    system = fsspec.filesystem("s3")
    system.makedirs("bench", exist_ok=True)
    system.put([str(path) for path in paths], [f"bench/photos/{path.name}" for path in paths])
    for path in paths[:10]:
        box = "<bndbox><xmin>90</xmin><ymin>80</ymin><xmax>300</xmax><ymax>290</ymax></bndbox>"
        size = "<size><width>640</width><height>480</height></size>"
        text = f"<annotation>{size}<object><name>a</name>{box}</object></annotation>"
        (labels / f"{path.stem}.xml").write_text(text)
    settings = ["--set", "train.epochs=1", "--set", "train.min_steps=0"]
    settings += [] if workers is None else ["--set", f"score.workers={workers}"]
    for name, images in (("local", photos), ("remote", POOL)):
        root = str(folder / name)
        alcli("init", root, "--images", str(images), "--annotations", str(labels), *settings)
        alcli("pull", "-w", root, "-q")
        alcli("train", "-w", root, "-q")


def alcli(*words: str) -> None:
    """Run a command; its output only if it fails."""
    ended = subprocess.run([sys.executable, "-m", "alcli", *words], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def look(root: Path) -> None:
    """One pass in this process; prints wall and CPU seconds, and what came out."""
    from alcli.artifacts.predictor import load_predictor
    from alcli.artifacts.scoring_pass import ScoringPass
    from alcli.context import Context
    from alcli.items import UNLABELED
    from alcli.system.hashing import sha256_of_text
    from alcli.system.progress import Silent
    from alcli.workspace import Workspace
    from alcli.workspace.records import Training

    workspace = Workspace.open(root)
    with workspace.lock():
        context = Context(workspace, workspace.configuration(), Silent())
        training = workspace.newest(Training)
        assert training is not None
        predictor = load_predictor(context, training)
        items = workspace.store.pool().in_state(UNLABELED)
        before, start = cpu(), time.perf_counter()
        signals = ScoringPass(context, training.cycle, predictor).signals(SIGNALS, items, "signals-bench")
        wall = time.perf_counter() - start
        values = sha256_of_text(*(f"{value:.5f}" for value in signals["predicted_loss"].tolist()))
        print(json.dumps({"images": len(signals), "wall": wall, "cpu": cpu() - before, "values": values}), flush=True)
    workspace.close()
    os._exit(0)  # a driver's threads have nothing left to do


def cpu() -> float:
    """CPU seconds of this process and its ended children."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def run(folder: Path, way: str, server: subprocess.Popen[bytes]) -> dict[str, float | str]:
    """One timed pass; a cold one begins with an empty cache."""
    root = folder / ("local" if way == "local" else "remote")
    for left in root.glob("cycles/*/signals-bench"):
        shutil.rmtree(left)
    if way == "cold":
        shutil.rmtree(root / "cache" / "images")
    before = cpu_of(server)
    ended = subprocess.run([sys.executable, __file__, "--look", str(root)], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    result: dict[str, float | str] = json.loads(ended.stdout.splitlines()[-1])
    return {**result, "store": cpu_of(server) - before}


def main() -> None:
    """Print the median of each way, and its speed ÷ that of local files."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, help="decoding processes; default: alcli's own")
    parser.add_argument("--look", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.look:
        look(arguments.look)
    results: dict[str, list[dict[str, float | str]]] = {way: [] for way in WAYS}
    with tempfile.TemporaryDirectory() as folder, store() as server:
        make(Path(folder), arguments.images, arguments.workers)
        for number in range(arguments.rounds):
            for way in ("local", "cold", "warm"):
                results[way].append(run(Path(folder), way, server))
                shown = "  ".join(f"{key} {results[way][-1][key]:7.1f}" for key in ("wall", "cpu", "store"))
                print(f"round {number + 1}  {way:5}  {shown}", flush=True)
    assert len({result["values"] for way in WAYS for result in results[way]}) == 1, "the signals differ"
    median = {
        way: {key: statistics.median(float(result[key]) for result in results[way]) for key in ("wall", "cpu", "store")}
        for way in WAYS
    }
    images = results["local"][0]["images"]
    for way in WAYS:
        ratios = [
            float(one["wall"]) / float(other["wall"]) for one, other in zip(results["local"], results[way], strict=True)
        ]
        print(
            f"{way:5}  {images} images  wall {median[way]['wall']:.1f} s  CPU {median[way]['cpu']:.1f} s"
            f"  (the store's own {median[way]['store']:.1f} s)  speed ÷ local, by wall {statistics.median(ratios):.2f}"
            f", by CPU {median['local']['cpu'] / median[way]['cpu']:.2f}"
        )
    print("goals: warm ≥ 0.9, cold ≥ 0.6")


if __name__ == "__main__":
    main()
