"""Which format a file or folder of annotations is in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from alcli import plugins
from alcli.errors import UsageError
from alcli.formats._files import LEFT_BY_SYSTEMS, check_source, describe_files, entries, is_folder
from alcli.formats._foreign import EXPORT, describe_foreign, describe_packed

AWAITED = "voc"
"""The format of a folder without any annotations yet."""
MOST_TRIED = 20
"""Files and folders in a folder that are tried before saying that nothing is recognized."""
QUEUE = "queue.csv"
"""What alcli itself may have written into a folder without annotations."""


def choose_format(path: Path, name: str, task: str) -> type:
    """The class of the format of this name, or with ``auto`` of the one that is recognized; raises as that does."""
    return _load(recognize_format(path, task) if name == "auto" else name)


def recognize_format(path: Path, task: str, before: str = "") -> str:
    """The name of the only format that recognizes the path.

    Args:
        task: name of the task; formats that it cannot use do not count. Empty: all count.
        before: the format in which annotations were found there before; it stays while no other one is recognized.

    Raises:
        UsageError: no format that the task can use recognizes the path, or several do.
        PlatformError, DataError: there is nothing to recognize.
    """
    check_source(path)
    formats = {known: _load(known) for known in plugins.names("formats")}
    recognized = [known for known, format_class in formats.items() if format_class.recognizes(path)]
    claims = [known for known in recognized if _serves(formats[known], task, formats)]
    if before in formats and (before in claims or not claims):
        return before
    if len(claims) > 1:
        raise UsageError(f"{path} could be {' or '.join(claims)}.", do="Say which: set platform.format.")
    if claims:
        return claims[0]
    if recognized:
        raise _wrong_task(path, recognized, formats, task)
    if is_folder(path) and not describe_files(path, QUEUE):
        return AWAITED
    raise _no_format(path, formats, task)


def _load(name: str) -> Any:
    return plugins.load("formats", name)


def _serves(format_class: Any, task: str, formats: dict[str, Any]) -> bool:
    """Whether the task can use the format; a task of another package may use any."""
    known = set().union(*(getattr(each, "tasks", ()) for each in formats.values()))
    return task not in known or task in getattr(format_class, "tasks", known)


def _wrong_task(path: Path, recognized: list[str], formats: dict[str, Any], task: str) -> UsageError:
    if what := describe_foreign(path):
        return _foreign(path, what)
    tasks = sorted(set().union(*(getattr(formats[name], "tasks", ()) for name in recognized)))
    return UsageError(
        f"{path} looks like {' or '.join(recognized)}, which the task {task} cannot use.",
        do=f"Choose --task {' or '.join(tasks)}, or name annotations for {task}.",
    )


def _no_format(path: Path, formats: dict[str, Any], task: str) -> UsageError:
    usable = {name: each for name, each in formats.items() if _serves(each, task, formats)}
    listing = f"There are: {', '.join(plugins.names('formats'))}."
    if what := describe_foreign(path):
        return _foreign(path, what)
    packed, unpack = describe_packed(path)
    if packed:
        return UsageError(packed, do=unpack)
    if not is_folder(path):
        return UsageError(f"{path}: no annotation format recognizes it.", do=f"Set platform.format. {listing}")
    shapes = "; ".join(f"{each.looks_like} ({name})" for name, each in usable.items() if hasattr(each, "looks_like"))
    lacks = "; ".join(filter(None, (each.lacks(path) for each in usable.values() if hasattr(each, "lacks"))))
    inside = [
        (entry, name) for entry in entries(path)[:MOST_TRIED] for name in usable if _recognizes(usable[name], entry)
    ]
    what = f"{path} holds {describe_files(path)}, but no annotations that alcli can read{lacks and ': ' + lacks}."
    if len(inside) == 1:
        entry, name = inside[0]
        return UsageError(what, do=f"{entry.name} in it looks like {name}: --annotations {entry}")
    return UsageError(
        what,
        do=f"Expected {shapes}. If nothing is annotated yet, name an empty folder.",
    )


def _recognizes(format_class: Any, path: Path) -> bool:
    # A JSON file of a format that is read would have made its folder one of that format.
    passed_over = path.name.startswith(".") or path.name in LEFT_BY_SYSTEMS or path.suffix.lower() == ".json"
    return not passed_over and bool(format_class.recognizes(path))


def _foreign(path: Path, what: str) -> UsageError:
    return UsageError(f"{path} looks like {what}, which alcli does not read.", do=EXPORT)
