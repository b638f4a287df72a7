"""Single bits that flip in the files of a workspace: each must be found before the file is used."""

from __future__ import annotations

import contextlib
import io
import random
from collections.abc import Callable
from pathlib import Path

import torch

from alcli import cli
from alcli.artifacts import signal_parts
from alcli.artifacts.checkpoints import FILES, Checkpoint
from alcli.engine.training_state import Learner, Position, write
from alcli.errors import WorkspaceDamaged
from alcli.items import Item
from alcli.system.arrays import is_intact
from alcli.workspace import Workspace
from alcli.workspace.records import Exported, Scored, Summary, Training
from tests.support.scenes import Photos

SMALL = ("--model", "ssd-tiny", "--budget", "4", "--set", "train.epochs=1", "--set", "train.workers=0",
         "--set", "score.workers=0", "--set", "model.input_size=64", "--set", "train.batch_size=4")  # fmt: skip


def cycled(scratch: Path) -> Path:
    """A workspace whose first cycle is done, with the checkpoint that a killed second training leaves."""
    photos = Photos(scratch / "project").draw(12, annotated=8)
    root = scratch / "W"
    places = ["--images", str(photos.images), "--annotations", str(photos.annotations)]
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()) as said:
        assert cli.run(["init", str(root), *places, *SMALL]) == 0, said.getvalue()
        assert cli.run(["cycle", "-w", str(root)]) == 0, said.getvalue()
    return root


def flips(count: int, seed: int, scratch: Path) -> tuple[int, int]:
    """(bits flipped, of which not found) over model, checkpoint, parts of a pass, scores and priorities."""
    root = cycled(scratch)
    workspace = Workspace.open(root)
    try:
        files = _checks(workspace)
        rng = random.Random(seed)
        undetected = 0
        for number in range(count):
            file, is_found = files[number % len(files)]
            content = file.read_bytes()
            bit = rng.randrange(8 * len(content))
            changed = bytearray(content)
            changed[bit // 8] ^= 1 << bit % 8
            file.write_bytes(changed)
            undetected += not is_found()
            file.write_bytes(content)
        assert not any(is_found() for _, is_found in files), "an intact file is taken for a damaged one"
        return count, undetected
    finally:
        workspace.close()


def _checks(workspace: Workspace) -> list[tuple[Path, Callable[[], bool]]]:
    """(file, whether alcli would find out now) for each file that it ever reads again."""
    _leave_checkpoint(workspace)
    steps = [(Training, 1), (Scored, 1), (Exported, 1), (Checkpoint, 2)]
    found: list[tuple[Path, Callable[[], bool]]] = []
    for kind, cycle in steps:
        record = workspace.step(cycle, kind)
        assert record is not None and record.file is not None
        found.append((record.file, lambda kind=kind, cycle=cycle: _row_finds(workspace, kind, cycle)))
    for part in sorted(workspace.cycle_folder(1).glob("signals*/*.safetensors")):
        found.append((part, lambda part=part: _part_finds(workspace, part)))
    return found


def _leave_checkpoint(workspace: Workspace) -> None:
    model, loss_head = torch.nn.Conv2d(3, 8, 3), torch.nn.Linear(8, 1)
    optimizer = torch.optim.AdamW([*model.parameters(), *loss_head.parameters()])
    loss_head(model(torch.ones(1, 3, 8, 8)).mean(dim=(2, 3))).sum().backward()
    optimizer.step()
    learner = Learner(model, loss_head, optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0))
    path = workspace.cycle_folder(2) / FILES[0]
    write(path, learner.capture(Position(1, 2)))
    workspace.finish_step(2, "key", Checkpoint(), path)


def _row_finds(workspace: Workspace, kind: type[Summary], cycle: int) -> bool:
    record = workspace.step(cycle, kind)
    assert record is not None
    try:
        workspace.verify_file(record)
    except WorkspaceDamaged:
        return workspace.matching_step(cycle, kind, record.inputs) is None
    return False


def _part_finds(workspace: Workspace, part: Path) -> bool:
    items: list[Item] = list(workspace.store.pool().items.values())
    try:
        signal_parts.read(part, items)
    except WorkspaceDamaged:
        return not is_intact(part)
    return False
