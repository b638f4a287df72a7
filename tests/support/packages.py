"""Example packages as an installer would leave them, without the network that a real installation wants."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import tomlkit

EXAMPLES = Path(__file__).parents[2] / "examples"


def installed_while(example: str, site: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A fixture's body: the package can be imported until the test ends."""
    modules = install(example, site)
    monkeypatch.syspath_prepend(str(site))
    yield site
    for module in modules:
        sys.modules.pop(module, None)


def install(example: str, site: Path) -> list[str]:
    """Put a package's modules and its announced entry points into a folder; the names of its modules."""
    folder = EXAMPLES / example
    description = tomlkit.parse((folder / "pyproject.toml").read_text(encoding="utf-8")).unwrap()
    project, modules = description["project"], description["tool"]["setuptools"]["py-modules"]
    announced = site / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    announced.mkdir(parents=True)
    for module in modules:
        shutil.copy(folder / f"{module}.py", site)
    sections = [
        f"[{group}]\n" + "".join(f"{name} = {place}\n" for name, place in entries.items())
        for group, entries in project["entry-points"].items()
    ]
    (announced / "entry_points.txt").write_text("".join(sections))
    (announced / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    return list(modules)
