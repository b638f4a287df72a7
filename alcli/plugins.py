"""The folder is the registry: one file, one plugin, one name on the command line.

``strategies/learned_loss.py`` → class ``LearnedLoss`` → ``--strategy learned-loss``. Other packages add theirs with
an entry point in the group ``alcli.strategies``, ``alcli.tasks``, ``alcli.platforms`` or ``alcli.formats``.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import pkgutil
from typing import Any

from alcli.errors import UsageError
from alcli.system.text import did_you_mean

KINDS = ("strategies", "tasks", "platforms", "formats")


def names(kind: str) -> list[str]:
    """Every plugin of a kind in alphabetical order; nothing is imported.

    Raises:
        UsageError: a name is taken twice.
    """
    built_in = [_command_line_name(module) for module in _modules(kind)]
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
        raise UsageError(f"There is no {kind} plugin {name!r}.", do=did_you_mean(name, known))
    for entry in _entry_points(kind):
        if entry.name == name:
            return _load_external(kind, entry)
    module_name = name.replace("-", "_")
    class_name = "".join(part.capitalize() for part in module_name.split("_"))
    module = importlib.import_module(f"alcli.{kind}.{module_name}")
    if not hasattr(module, class_name):
        raise UsageError(f"alcli/{kind}/{module_name}.py has no class {class_name}.")
    return getattr(module, class_name)


def _load_external(kind: str, entry: importlib.metadata.EntryPoint) -> Any:
    try:
        return entry.load()
    except Exception as error:  # the code of another package may raise anything
        package = entry.dist.name if entry.dist else "another package"
        raise UsageError(
            f"The {kind} plugin {entry.name!r} of {package} cannot be imported: {type(error).__name__}: {error}",
            do=f"Update or uninstall {package}.",
        ) from error


def _modules(kind: str) -> list[str]:
    if kind not in KINDS:
        raise UsageError(f"There is no kind of plugin {kind!r}.", do=did_you_mean(kind, KINDS))
    package = importlib.import_module(f"alcli.{kind}")
    return [module.name for module in pkgutil.iter_modules(package.__path__) if not module.name.startswith("_")]


def _entry_points(kind: str) -> list[importlib.metadata.EntryPoint]:
    return list(importlib.metadata.entry_points(group=f"alcli.{kind}"))


def _command_line_name(module: str) -> str:
    return module.replace("_", "-")
