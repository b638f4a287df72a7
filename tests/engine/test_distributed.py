"""A training on two processes that torchrun has started: the same update, the same metric, one writer."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
ONE_UPDATE = """
import os
import numpy as np, torch
from torch import nn
from alcli.engine import distributed

distributed.connect()
torch.manual_seed(distributed.rank())  # other weights in each process, until they are copied
model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
unused = nn.Parameter(torch.ones(2))
distributed.copy_weights(model)
inputs = torch.arange(15.0).view(5, 3) / 7
mine = inputs[distributed.share(range(5))]
(model(mine) ** 2).sum().backward()
sums = distributed.sum_gradients([*model.parameters(), unused], np.array([len(mine), 2.0]))
assert sums.tolist() == [5, 4], sums
assert unused.grad is None
gradients = [parameter.grad.clone() for parameter in model.parameters()]
model.zero_grad()
(model(inputs) ** 2).mean().backward()
for gradient, parameter in zip(gradients, model.parameters(), strict=True):
    torch.testing.assert_close(gradient, parameter.grad)
assert distributed.gather([distributed.rank()]) == [0, 1]
"""


@pytest.fixture
def shades(tmp_path, alcli):
    """A workspace of 64 dark and bright images, all annotated, pulled and not trained."""
    rng = np.random.default_rng(0)
    (tmp_path / "images").mkdir()
    lines = ["name,label"]
    for number in range(64):
        pixels = rng.integers(90 * (number % 2), 160 + 90 * (number % 2), (32, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"images/{number:02}.png")
        lines.append(f"{number:02}.png,{('dark', 'bright')[number % 2]}")
    (tmp_path / "labels.csv").write_text("\n".join([*lines, ""]))
    settings = ("train.epochs=12", "train.workers=0", "score.workers=0", "model.input_size=64", "train.batch_size=8",
                "train.validation=0.4", "train.group_distance=0")  # fmt: skip
    flags = [part for setting in settings for part in ("--set", setting)]
    assert alcli("init", tmp_path / "W", "--task", "classification", "--images", tmp_path / "images",
                 "--annotations", tmp_path / "labels.csv", *flags)[0] == 0  # fmt: skip
    assert alcli("pull", "-w", tmp_path / "W")[0] == 0
    return tmp_path / "W"


def run(*words, **options):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    return subprocess.Popen([*TORCHRUN, *map(str, words)], env=environment, stderr=subprocess.PIPE, text=True,
                            start_new_session=True, **options)  # fmt: skip


@pytest.mark.slow
def test_an_update_of_two_shares_is_that_of_the_whole_batch(tmp_path):
    script = tmp_path / "update.py"
    script.write_text(ONE_UPDATE)
    process = run(script)
    _, err = process.communicate()
    assert process.returncode == 0, err


@pytest.mark.slow
def test_two_processes_reach_the_metric_of_one(alcli, shades, tmp_path):
    flags = ("--set", "train.seed=7")
    alone = tmp_path / "alone"
    shutil.copytree(shades, alone)
    assert alcli("train", "-w", alone, *flags)[0] == 0
    process = run("-m", "alcli", "train", "-w", shades, *flags)
    _, err = process.communicate()
    assert process.returncode == 0, err
    metrics = [json.loads(next(root.glob("cycles/*/metrics.json")).read_text())["metrics"] for root in (alone, shades)]
    name = next(iter(metrics[0]))
    assert abs(metrics[0][name] - metrics[1][name]) <= 0.1, metrics
    runs = [line for line in (shades / "logs/alcli.jsonl").read_text().splitlines() if "alcli train" in line]
    assert len(runs) == 1  # of two processes one has a workspace
    assert "Training" in err
    assert err.count("Evaluating on") == 1
    assert alcli("train", "-w", shades, *flags, "--json")[1].count('"already_done": true') == 1


@pytest.mark.slow
def test_a_signal_stops_both_after_a_checkpoint_and_the_training_resumes(alcli, shades):
    flags = ("--set", "train.seed=8", "-v")
    process = run("-m", "alcli", "train", "-w", shades, *flags, "--epochs", 3000)
    for line in process.stderr:
        if line.startswith("epoch 2/"):
            break
    process.send_signal(signal.SIGTERM)
    start = time.monotonic()
    _, err = process.communicate(timeout=120)
    assert time.monotonic() - start < 100
    assert process.returncode != 0
    assert "Traceback" not in err.split("Stopped by a signal.")[0]
    code, _, err = alcli("status", "-w", shades, "--json")
    assert code == 0, err
    process = run("-m", "alcli", "train", "-w", shades, *flags, "--epochs", 3000)
    for line in process.stderr:
        if "Resuming the interrupted training in epoch" in line:
            break
    else:
        pytest.fail("the training did not resume")
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=120)
