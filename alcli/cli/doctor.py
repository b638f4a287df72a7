"""``alcli doctor``."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from alcli.cli import options
from alcli.errors import AlcliError

if TYPE_CHECKING:
    from alcli.workspace import Workspace

PACKAGES = ("alcli", "torch", "torchvision", "timm", "numpy", "pillow", "pycocotools", "superannotate")
FREE_GIB = 2.0
Check = tuple[str, bool, str]


@click.command(short_help="Check the machine and the workspace.")
@options.shared
def command(session: options.Session) -> int:
    """Check this machine and the workspace: versions, processor, disk, configuration, platform.

    \b
    Examples:
      alcli doctor
      alcli doctor -w W --json
    """
    checks = [*_machine(), *_workspace(session)]
    rows = [{"check": name, "ok": good, "found": found} for name, good, found in checks]
    session.console.result({"checks": rows})
    session.console.table(
        "doctor",
        ("check", "", "found"),
        [(name, "ok" if good else "FAULT", found) for name, good, found in checks],
    )
    faults = [name for name, good, _ in checks if not good]
    if faults:
        session.console.say(f"Look at: {', '.join(faults)}.")
    return 2 if faults else 0


def _machine() -> list[Check]:
    import torch

    from alcli.loading import device, has_bfloat16

    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return [
        (
            "python",
            sys.version_info >= (3, 10),
            f"{platform.python_version()} on {platform.platform(terse=True)}",
        ),
        ("versions", True, versions),
        ("device", True, f"{device()}, {cores} cores, {torch.get_num_threads()} threads of torch"),
        ("bfloat16", True, "multiplied natively, used" if has_bfloat16() else "not native, float32 is used"),
    ]


def _workspace(session: options.Session) -> list[Check]:
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
            *_configuration(session, workspace),
        ]
    finally:
        workspace.close()


def _disk(root: Path) -> Check:
    free = shutil.disk_usage(root).free / 2**30
    return ("disk", free >= FREE_GIB, f"{free:.1f} GiB free")


def _writable(root: Path) -> Check:
    good = os.access(root, os.W_OK)
    return ("permission", good, "writable" if good else "read-only")


def _configuration(session: options.Session, workspace: Workspace) -> list[Check]:
    from alcli.items import Item
    from alcli.progress import Silent
    from alcli.steps import Context

    try:
        config = workspace.configuration(session.overrides)
    except AlcliError as error:
        return [("configuration", False, error.what)]
    context = Context(workspace, config, Silent())
    checks: list[Check] = [("configuration", True, f"{config.task.name}, {config.model.name or 'light model'}")]
    try:
        count = sum(isinstance(row, Item) for row in context.platform.items())
    except AlcliError as error:
        return [*checks, ("platform", False, error.what)]
    return [*checks, ("platform", count > 0, f"{config.platform.name}: {count} images")]
