"""How far the metric of a cycle is from the model's true accuracy on all images that it was not trained on.

Frozen cycles on a classification workspace whose images are all annotated: a share is held out as in production, the
strategy chooses, and the accuracy on the held-out images, plain and post-stratified, is compared with the truth.

    alcli init clothing --images … --annotations …
    python examples/benchmarks/metric_bias.py clothing --seeds 10
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from alcli.config import Config
from alcli.context import Context
from alcli.simulation.frozen import FrozenEngine
from alcli.system.progress import Silent
from alcli.workspace import Workspace

HELD_OUT = 0.2


@dataclass(frozen=True)
class Measured:
    """One cycle of one seed: what is shown, and what is true."""

    strategy: str
    seed: int
    cycle: int
    images: int
    true: float
    plain: float
    stratified: float
    low: float
    high: float


def prepare(workspace: Path, cycles: int, start: int, budget: int, strategies: list[str]) -> tuple[FrozenEngine, Path]:
    """An engine for the workspace's annotated images, almost all of them in the pool; the workspace is copied."""
    root = Path(tempfile.mkdtemp()) / "workspace"
    shutil.copytree(workspace, root)
    opened = Workspace.open(root)
    context = Context(opened, Config.load(root / "alcli.toml"), Silent())
    return context, root
