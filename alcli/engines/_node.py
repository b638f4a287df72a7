"""What a node of a cluster does: it unpacks a kit once, and computes parts."""

from __future__ import annotations

import atexit
import contextlib
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from alcli.artifacts.kit import Kit
from alcli.artifacts.predictor import Predictor
from alcli.artifacts.scoring_pass import Computed, PlannedPart, compute_signals, locate_images
from alcli.context import Context
from alcli.system.progress import ignore

_UNPACKED: dict[str, tuple[Context, Predictor]] = {}
"""The kit that this process has used last."""


def compute(name: str, load: Callable[[], Kit], part: PlannedPart) -> Computed:
    """Compute one part; a process keeps the kit of this name for the next one."""
    if name not in _UNPACKED:
        forget()
        folder = Path(tempfile.mkdtemp(prefix="alcli-kit-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        _UNPACKED[name] = load().unpack(folder / "workspace")
    context, predictor = _UNPACKED[name]
    places = locate_images(context, predictor, [part])
    with contextlib.closing(compute_signals(context, predictor, [part], places, ignore)) as stream:
        computed = next(stream)
    _drop_downloads(context.workspace.root / "cache")
    return computed


def forget() -> None:
    """Drop the kit that was used last."""
    while _UNPACKED:
        _, (context, _) = _UNPACKED.popitem()
        context.workspace.close()
        shutil.rmtree(context.workspace.root.parent, ignore_errors=True)


def _drop_downloads(cache: Path) -> None:
    """Each image is needed once, and the disk of a node may be small."""
    for file in cache.rglob("*"):
        with contextlib.suppress(OSError):
            if file.is_file():
                file.unlink()
