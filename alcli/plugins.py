"""The folder is the registry: one file, one plugin, one name on the command line.

``strategies/learned_loss.py`` → class ``LearnedLoss`` → ``--strategy learned-loss``. Other packages add theirs with
an entry point in the group ``alcli.strategies``, ``alcli.tasks``, ``alcli.platforms``, ``alcli.formats`` or
``alcli.learners``.
"""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import importlib.util
import pkgutil
import sys
from collections.abc import Callable, Iterable
from typing import Any

from alcli.errors import UsageError
from alcli.system.text import did_you_mean

KINDS = {
    "strategies": "strategy",
    "tasks": "task",
    "platforms": "platform",
    "formats": "format",
    "learners": "learner",
    "engines": "engine",
}
"""Kinds of plugins, and what one of them is called."""


def names(kind: str) -> list[str]:
    """Every plugin of a kind in alphabetical order; nothing is imported.

    Raises:
        UsageError: a name is taken twice.
    """
    built_in = _built_in(kind)
    external = [entry.name for entry in _entry_points(kind)]
    everything = sorted(built_in + external)
    twice = {name for name in everything if everything.count(name) > 1}
    if twice:
        raise UsageError(
            f"Two {kind} are called {', '.join(sorted(twice))}.",
            do="Rename one of them, or uninstall the package that brings the second.",
        )
    return everything


def load(kind: str, name: str) -> Any:
    """The class of one plugin.

    Raises:
        UsageError: there is no such name (the nearest are listed), its file lacks the class, or another package's
            plugin cannot be imported.
    """
    known = names(kind)
    if name not in known:
        raise UsageError(f"Unknown {KINDS[kind]} {name!r}.", do=did_you_mean(name, known))
    for entry in _entry_points(kind):
        if entry.name == name:
            return _load_external(kind, entry)
    return _class(kind, name.replace("-", "_"), _class_name(name))


def load_options(kind: str, name: str) -> Any:
    """The class ``Options`` of one plugin, None if it has none; raises like ``load``.

    If ``pose.py`` has a neighbor ``_pose_options.py``, only that file is imported, for its class ``PoseOptions``:
    reading a setting must not take the seconds that importing torch takes.
    """
    module_name = f"_{name.replace('-', '_')}_options"
    if name in _built_in(kind) and importlib.util.find_spec(f"alcli.{kind}.{module_name}"):
        return _class(kind, module_name, f"{_class_name(name)}Options")
    return getattr(load(kind, name), "Options", None)


def _class(kind: str, module_name: str, class_name: str) -> Any:
    module = importlib.import_module(f"alcli.{kind}.{module_name}")
    if not hasattr(module, class_name):
        raise UsageError(f"alcli/{kind}/{module_name}.py has no class {class_name}.")
    return getattr(module, class_name)


def _load_external(kind: str, entry: importlib.metadata.EntryPoint) -> Any:
    try:
        return entry.load()
    except Exception as error:  # the code of another package may raise anything
        package = entry.dist.name if entry.dist else "another package"
        reason = " ".join(f"{type(error).__name__}: {error}".split())  # one line
        raise UsageError(
            f"The {kind} plugin {entry.name!r} of {package} cannot be imported: {reason}",
            do=f"Update or uninstall {package}.",
        ) from error


def _built_in(kind: str) -> list[str]:
    if kind not in KINDS:
        raise UsageError(f"There is no kind of plugin {kind!r}.", do=did_you_mean(kind, KINDS))
    package = importlib.import_module(f"alcli.{kind}")
    modules = (module.name for module in pkgutil.iter_modules(package.__path__))
    return [module.replace("_", "-") for module in modules if not module.startswith("_")]


def _entry_points(kind: str) -> list[importlib.metadata.EntryPoint]:
    return _discover(importlib.metadata.entry_points, f"alcli.{kind}", tuple(sys.path))


@functools.cache
def _discover(
    entry_points: Callable[..., Iterable[importlib.metadata.EntryPoint]], group: str, path: tuple[str, ...]
) -> list[importlib.metadata.EntryPoint]:
    """Reading what all installed packages announce takes milliseconds; ``path`` is where they are looked for."""
    return list(entry_points(group=group))


def _class_name(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("-"))
