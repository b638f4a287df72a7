"""Check this machine and the workspace for problems."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from alcli.cli import _options as options
from alcli.cli._greeting import Inventory, describe, model_line, recall, scan
from alcli.errors import AlcliError

if TYPE_CHECKING:
    from alcli.config import Config, ScoreOptions
    from alcli.context import Context
    from alcli.workspace import Workspace

PACKAGES = ("alcli", "torch", "torchvision", "timm", "numpy", "pillow", "pycocotools", "superannotate")
FREE_GIB = 2.0
FREE_MEMORY_GIB = 1.0
OK, WARN, FAULT = "ok", "WARN", "FAULT"
Check = tuple[str, str, str]
"""Name, one of ok, WARN and FAULT, and details."""


@click.command()
@click.option("--online", is_flag=True, help="Also check the remote platform: token, team, project, folders, settings.")
@options.shared
def command(session: options.Session, online: bool) -> int:
    """Check this machine and the workspace: versions, disk, permissions, database, lock, clock, platform.

    \b
    Examples:
      alcli doctor
      alcli doctor --online
      alcli doctor -w W --json
    """
    from alcli.workspace.database import machine_errors

    inventory, greeting = None, ""
    with machine_errors(session.root):
        checks = _machine()
    try:
        with session.open_workspace() as workspace, machine_errors(session.root):
            further, inventory = _check_workspace(session, workspace, online)
            checks += further
            if inventory:
                greeting = describe(inventory, workspace.configuration(session.overrides), workspace, session.given)
    except AlcliError as error:
        checks.append(("workspace", FAULT, error.what))
    rows = [
        {"check": name, "ok": level != FAULT, "level": level.lower(), "found": fact} for name, level, fact in checks
    ]
    session.console.result({"checks": rows, "found": inventory and inventory.document()})
    session.console.table("Checks", ("check", "", "details"), checks)
    faults = [name for name, level, _ in checks if level == FAULT]
    if faults:
        session.console.say(f"Problems with: {', '.join(faults)}.")
    elif greeting and not session.console.as_json and not session.console.quiet:
        click.echo(greeting)
    return 2 if faults else 0


def _machine() -> list[Check]:
    import importlib.metadata
    import platform

    import torch

    from alcli.engine.device import device

    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return [
        (
            "python",
            _level(sys.version_info >= (3, 10)),
            f"{platform.python_version()} on {platform.platform(terse=True)}",
        ),
        ("versions", OK, versions),
        ("device", OK, f"{device()}, {cores} cores, {torch.get_num_threads()} torch threads"),
        ("bfloat16", OK, _bfloat16()),
        _memory(),
        _shared_memory(),
        _open_files(),
    ]


def _memory() -> Check:
    """Of this machine, or less where a container has a limit."""
    from alcli.system.machine import available_memory

    free = available_memory()
    if free is None:
        return ("memory", OK, "unknown")
    return ("memory", OK if free >= FREE_MEMORY_GIB * 2**30 else WARN, f"{free / 2**30:.1f} GiB available")


def _shared_memory() -> Check:
    """alcli itself needs none; torch may, where it is told to."""
    import shutil

    try:
        usage = shutil.disk_usage("/dev/shm")
    except OSError:
        return ("shared memory", OK, "no /dev/shm; alcli needs none")
    return (
        "shared memory",
        OK,
        f"/dev/shm: {usage.free / 2**20:.0f} of {usage.total / 2**20:.0f} MiB free; not needed",
    )


def _open_files() -> Check:
    from alcli.system.processes import MOST_WORKERS
    from alcli.system.workers import DESCRIPTORS_EACH, free_descriptors

    free, needed = free_descriptors(), MOST_WORKERS * DESCRIPTORS_EACH
    fact = f"{free} more may be opened"
    if free < needed:
        fact += f"; {MOST_WORKERS} decoding processes need {needed}: fewer are started. Raise it: ulimit -n 1024"
    return ("open files", OK if free >= needed else WARN, fact)


def _bfloat16() -> str:
    from alcli.engine.device import device, has_bfloat16

    if not has_bfloat16():
        return "not supported by this machine; float32 is used"
    return "supported and used" + ("" if device().type == "cuda" else " for scoring; training uses float32")


def _check_workspace(
    session: options.Session, workspace: Workspace, online: bool
) -> tuple[list[Check], Inventory | None]:
    root = session.root
    checks = [
        ("workspace", OK, str(root)),
        _disk(root),
        _writable(root),
        _private(root),
        _database(root),
        _lock(workspace),
        _clock(root),
    ]
    further, inventory = _configuration(session, workspace, online)
    return [*checks, *further], inventory


def _level(passed: bool | None) -> str:
    return WARN if passed is None else OK if passed else FAULT


def _disk(root: Path) -> Check:
    import shutil

    free = shutil.disk_usage(root).free / 2**30
    return ("disk", _level(free >= FREE_GIB), f"{free:.1f} GiB free")


def _writable(root: Path) -> Check:
    writable = os.access(root, os.W_OK)
    return ("permission", _level(writable), "writable" if writable else "read-only")


def _private(root: Path) -> Check:
    open_to_others = [name for name in ("alcli.toml", "alcli.db") if (root / name).stat().st_mode & 0o077]
    if open_to_others:
        return ("privacy", FAULT, f"other users can read {', '.join(open_to_others)}: chmod 600")
    return ("privacy", OK, "only its owner can read it")


def _database(root: Path) -> Check:
    from alcli.workspace.database import DATABASE, connect, database_errors, problem

    try:
        with database_errors(root), contextlib.closing(connect(root / DATABASE, read_only=True)) as connection:
            fault = problem(connection)
    except AlcliError as error:
        fault = error.what
    return ("database", _level(not fault), fault or "passed SQLite's quick check")


def _lock(workspace: Workspace) -> Check:
    holder = workspace.holder()
    return ("lock", OK, f"held by {holder}" if holder else "free")


def _clock(root: Path) -> Check:
    """If the clock was set back, the last run ended in the future."""
    from alcli.system.clock import LARGEST_SKEW, utc
    from alcli.workspace import heartbeat

    ahead = heartbeat.read(root).ended - time.time()
    passed = ahead <= LARGEST_SKEW
    return ("clock", _level(passed), utc(time.time()) if passed else f"the last run ended {ahead:.0f} s in the future")


def _configuration(
    session: options.Session, workspace: Workspace, online: bool
) -> tuple[list[Check], Inventory | None]:
    from alcli.context import Context
    from alcli.system.progress import Silent
    from alcli.system.text import quantity

    try:
        config = workspace.configuration(session.overrides)
    except AlcliError as error:
        return [("configuration", FAULT, error.what)], None
    context = Context(workspace, config, Silent())
    budget = config.selection.budget
    amount = f"{quantity(budget, 'image')} per cycle" if budget else "a tenth of the pool per cycle, 10 to 100 images"
    settings = f"{config.task.name}, {config.strategy.name}, {amount}"
    platform, inventory = _platform(context, config.platform.name, online)
    scoring = _scoring(config, len(workspace.store.pool().items) or (inventory.images if inventory else 0))
    return [("configuration", OK, settings), _model(config, workspace), scoring, *platform], inventory


def _model(config: Config, workspace: Workspace) -> Check:
    from alcli.artifacts.trained import check_model

    try:
        check_model(config)
        words, pretrained = model_line(config, workspace)
    except AlcliError as error:
        return ("model", FAULT, f"{error.what} {error.do}".strip())
    return ("model", OK if pretrained else WARN, words)


def _scoring(config: Config, images: int) -> Check:
    """Who computes the next pass, and why; OpenVINO is refused later if it cannot convert the network or ranks else."""
    from alcli.artifacts.backends import OPENVINO, choose_backend
    from alcli.engine.compilation import release
    from alcli.engine.device import has_bfloat16, name_precision

    wanted = config.score.precision
    try:
        choice = choose_backend(config.score, images)
    except AlcliError as error:
        return ("scoring", FAULT, f"{error.what} {error.do}")
    precision = name_precision(wanted)
    if choice.name == OPENVINO and wanted == "auto":
        precision = "bfloat16 if it ranks 200 images as float32, else float32" if has_bfloat16() else "float32"
    name = release() if choice.name == OPENVINO else choice.name
    return ("scoring", OK, f"{name} ({choice.reason}), {precision}, {_engine(config.score)}")


def _engine(options: ScoreOptions) -> str:
    """Where a pass runs, and with how many threads."""
    import torch

    from alcli.engines.shards import process_count
    from alcli.system.text import quantity

    threads = torch.get_num_threads()
    if options.engine == "ray":
        where = f"the cluster at {options.ray_address}" if options.ray_address else "this machine or RAY_ADDRESS"
        return f"by Ray on {where}"
    if options.engine == "shards":
        count = process_count(options)
        return f"in {quantity(count, 'process')} of this machine, {quantity(max(threads // count, 1), 'thread')} each"
    return f"in this process, {quantity(threads, 'thread')}"


def _platform(context: Context, name: str, online: bool) -> tuple[list[Check], Inventory | None]:
    """Run a remote platform's own checks, up to the first fault; read a local one."""
    from alcli.platforms import Examinable
    from alcli.system.text import quantity

    checks: list[Check] = []
    try:
        if not isinstance(context.platform, Examinable):
            inventory = scan(context.platform, context.config.task.name)
            count = quantity(inventory.images, "image")
            return [("platform", _level(inventory.images > 0), f"{name}: {count}")], inventory
        if online:
            for check, passed, fact in context.platform.checks():
                checks.append((check, _level(passed), fact))
        else:
            checks.append(("platform", OK, f"{name}: configured; use --online to check it"))
    except AlcliError as error:
        return [*checks, ("platform", FAULT, f"{error.what} {error.do}".strip())], None
    return checks, recall(context.workspace, context.config.task.name) if context.workspace.store.pool().items else None
