"""The folder is the registry: one file, one plugin, one name on the command line.

``strategies/learned_loss.py`` → class ``LearnedLoss`` → ``--strategy learned-loss``. Other packages add theirs with
an entry point in the group ``alcli.strategies``, ``alcli.tasks``, ``alcli.platforms`` or ``alcli.formats``.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.metadata
import pkgutil
from collections.abc import Iterable
from typing import Any

from alcli.errors import UsageError

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
        UsageError: there is no such name (the nearest are listed), or its file lacks the class.
    """
    known = names(kind)
    if name not in known:
        raise UsageError(f"There is no {kind} plugin {name!r}.", do=did_you_mean(name, known))
    for entry in _entry_points(kind):
        if entry.name == name:
            return entry.load()
    module_name = name.replace("-", "_")
    class_name = "".join(part.capitalize() for part in module_name.split("_"))
    module = importlib.import_module(f"alcli.{kind}.{module_name}")
    if not hasattr(module, class_name):
        raise UsageError(f"alcli/{kind}/{module_name}.py has no class {class_name}.")
    return getattr(module, class_name)


def strategy(name: str) -> Any:
    """An instance of a query strategy; ``outer:inner`` wraps one in another, as in ``diverse:margin``.

    A wrapper is a class with ``wraps = True``, made with the strategy that it wraps.

    Raises:
        UsageError: an unknown name, a wrapper with nothing in it, or something in a strategy that wraps nothing.
    """
    outer, colon, inner = name.partition(":")
    made = load("strategies", outer)
    wraps = getattr(made, "wraps", False)
    if wraps and not inner:
        raise UsageError(f"The strategy {outer} wraps another one.", do=f"Name it: {outer}:margin")
    if colon and not wraps:
        raise UsageError(f"The strategy {outer} wraps no other one, so {name!r} is none.", do=f"Use {outer} alone.")
    return made(strategy(inner)) if wraps else made()


def suited(name: str, signal_names: frozenset[str]) -> str:
    """The strategy itself, or the one it names as ``otherwise`` where a task cannot give the signals it needs.

    Raises:
        UsageError: there is no such strategy.
    """
    # Here, so that listing names pays for no numpy.
    from alcli.strategies import needs_labeled

    made = strategy(name)
    wanted = made.needs | needs_labeled(made)
    return name if wanted <= signal_names else getattr(made, "otherwise", name)


def tasks_giving(signal_names: Iterable[str]) -> str:
    """A sentence that names the tasks which give all these signals."""
    found = [name for name in names("tasks") if load("tasks", name).signal_names >= set(signal_names)]
    return f"Tasks that can: {', '.join(found)}." if found else "No installed task can."


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A sentence that names the nearest known names, or all of them."""
    choices = list(known)
    near = difflib.get_close_matches(name, choices, n=3, cutoff=0.5)
    if near:
        return f"Did you mean {' or '.join(near)}?"
    return f"There are: {', '.join(choices)}."


def _modules(kind: str) -> list[str]:
    if kind not in KINDS:
        raise UsageError(f"There is no kind of plugin {kind!r}.", do=did_you_mean(kind, KINDS))
    package = importlib.import_module(f"alcli.{kind}")
    return [module.name for module in pkgutil.iter_modules(package.__path__) if not module.name.startswith("_")]


def _entry_points(kind: str) -> list[importlib.metadata.EntryPoint]:
    return list(importlib.metadata.entry_points(group=f"alcli.{kind}"))


def _command_line_name(module: str) -> str:
    return module.replace("_", "-")
