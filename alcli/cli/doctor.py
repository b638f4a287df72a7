"""Check this machine and the workspace for problems."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from alcli.cli import _options as options
from alcli.errors import AlcliError

if TYPE_CHECKING:
    from alcli.config import Config
    from alcli.context import Context
    from alcli.workspace import Workspace

PACKAGES = ("alcli", "torch", "torchvision", "timm", "numpy", "pillow", "pycocotools", "superannotate")
FREE_GIB = 2.0
Check = tuple[str, bool, str]
"""Name, whether the check passed, and details."""


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
    checks = [*_machine(), *_workspace(session, online)]
    session.console.result({"checks": [{"check": name, "ok": passed, "found": fact} for name, passed, fact in checks]})
    session.console.table(
        "Checks",
        ("check", "", "details"),
        [(name, "ok" if passed else "FAULT", fact) for name, passed, fact in checks],
    )
    faults = [name for name, passed, _ in checks if not passed]
    if faults:
        session.console.say(f"Problems with: {', '.join(faults)}.")
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
            sys.version_info >= (3, 10),
            f"{platform.python_version()} on {platform.platform(terse=True)}",
        ),
        ("versions", True, versions),
        ("device", True, f"{device()}, {cores} cores, {torch.get_num_threads()} torch threads"),
        ("bfloat16", True, _bfloat16()),
    ]


def _bfloat16() -> str:
    from alcli.engine.device import device, has_bfloat16

    if not has_bfloat16():
        return "not supported by this machine; float32 is used"
    return "supported and used" + ("" if device().type == "cuda" else " for scoring; training uses float32")


def _workspace(session: options.Session, online: bool) -> list[Check]:
    from alcli.workspace import Workspace

    try:
        root = session.root
        workspace = Workspace.open(root, read_only=True)
    except AlcliError as error:
        return [("workspace", False, error.what)]
    try:
        return [
            ("workspace", True, str(root)),
            _disk(root),
            _writable(root),
            _private(root),
            _database(root),
            _lock(workspace),
            _clock(root),
            *_configuration(session, workspace, online),
        ]
    finally:
        workspace.close()


def _disk(root: Path) -> Check:
    import shutil

    free = shutil.disk_usage(root).free / 2**30
    return ("disk", free >= FREE_GIB, f"{free:.1f} GiB free")


def _writable(root: Path) -> Check:
    writable = os.access(root, os.W_OK)
    return ("permission", writable, "writable" if writable else "read-only")


def _private(root: Path) -> Check:
    open_to_others = [name for name in ("alcli.toml", "alcli.db") if (root / name).stat().st_mode & 0o077]
    if open_to_others:
        return ("privacy", False, f"other users can read {', '.join(open_to_others)}: chmod 600")
    return ("privacy", True, "only its owner can read it")


def _database(root: Path) -> Check:
    from alcli.workspace.database import DATABASE, connect, database_errors, problem

    try:
        with database_errors(root), contextlib.closing(connect(root / DATABASE, read_only=True)) as connection:
            fault = problem(connection)
    except AlcliError as error:
        fault = error.what
    return ("database", not fault, fault or "passed SQLite's quick check")


def _lock(workspace: Workspace) -> Check:
    holder = workspace.holder()
    return ("lock", True, f"held by {holder}" if holder else "free")


def _clock(root: Path) -> Check:
    """If the clock was set back, the last run ended in the future."""
    from alcli.system.clock import LARGEST_SKEW, utc
    from alcli.workspace import heartbeat

    ahead = heartbeat.read(root).ended - time.time()
    passed = ahead <= LARGEST_SKEW
    return ("clock", passed, utc(time.time()) if passed else f"the last run ended {ahead:.0f} s in the future")


def _configuration(session: options.Session, workspace: Workspace, online: bool) -> list[Check]:
    from alcli.context import Context
    from alcli.system.progress import Silent
    from alcli.system.text import quantity

    try:
        config = workspace.configuration(session.overrides)
    except AlcliError as error:
        return [("configuration", False, error.what)]
    context = Context(workspace, config, Silent())
    settings = f"{config.task.name}, {config.strategy.name}, {quantity(config.selection.budget, 'image')} per cycle"
    checks = [("configuration", True, settings), _model(config)]
    return [*checks, *_platform(context, config.platform.name, online)]


def _model(config: Config) -> Check:
    from alcli.artifacts.trained import check_model

    try:
        check_model(config)
    except AlcliError as error:
        return ("model", False, f"{error.what} {error.do}".strip())
    return ("model", True, f"{config.model.name or 'the default model'}, weights {config.model.weights}")


def _platform(context: Context, name: str, online: bool) -> Iterator[Check]:
    """Run a remote platform's own checks, up to the first fault; count the images of a local one."""
    from alcli.items import Item
    from alcli.platforms import Examinable
    from alcli.system.text import quantity

    try:
        if not isinstance(context.platform, Examinable):
            count = sum(isinstance(item, Item) for item in context.platform.items())
            yield ("platform", count > 0, f"{name}: {quantity(count, 'image')}")
        elif online:
            yield from context.platform.checks()
        else:
            yield ("platform", True, f"{name}: configured; use --online to check it")
    except AlcliError as error:
        yield ("platform", False, f"{error.what} {error.do}".strip())
