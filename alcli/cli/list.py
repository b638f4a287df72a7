"""List strategies, models, settings, exit codes and more."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import click

from alcli.cli import _options as options
from alcli.errors import UsageError

Table = tuple[tuple[str, ...], list[tuple[Any, ...]]]


LISTS = {
    "strategies": "ways to rank images",
    "tasks": "what a model can learn",
    "learners": "who learns, and who looks at the pool",
    "models": "networks for each task",
    "platforms": "where images and annotations are",
    "formats": "annotation formats",
    "settings": "every setting with type, default and description",
    "exit-codes": "what each exit code means",
    "items": "the workspace's images and their states",
    "held-out": "the labeled images that metrics come from; your own model must not be trained on them",
    "quarantine": "images and annotations that were left out, with the reason",
    "cycles": "the workspace's cycles",
}


@click.command()
@click.argument("what", type=click.Choice(list(LISTS)), required=False)
@options.shared
def command(session: options.Session, what: str | None) -> int:
    """List what alcli knows (strategies, settings, …) or what the workspace holds (items, quarantine, cycles).

    \b
    Examples:
      alcli list
      alcli list strategies
      alcli list settings
      alcli list quarantine -w W
    """
    if what is None:
        return _show(session, "lists", ("name", "what it lists"), list(LISTS.items()))
    if what == "items":
        return _show_items(session)
    header, rows = _TABLES[what](session)
    return _show_settings(session, header, rows) if what == "settings" else _show(session, what, header, rows)


def _show(session: options.Session, what: str, header: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> int:
    session.console.result({what.replace("-", "_"): [dict(zip(header, row, strict=True)) for row in rows]})
    if what == "strategies":
        header, rows = _short_strategies(session.console.verbose, header, rows)
    session.console.table(what, header, rows)
    return 0


def _short_strategies(verbose: bool, header: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> Table:
    """For people: the default first; what the strategies need and cost only with ``--verbose``."""
    from alcli.config import StrategyOptions

    default = StrategyOptions().name
    ordered = sorted(rows, key=lambda row: row[0] != default)
    kept = range(len(header)) if verbose else (0, len(header) - 1)
    lines = [
        [f"{row[column]}{' (use this first)' * (column == 0 and row[0] == default)}" for column in kept]
        for row in ordered
    ]
    return tuple(header[column] for column in kept), [tuple(line) for line in lines]


def _plugins(kind: str) -> Callable[[options.Session], Table]:
    def table(session: options.Session) -> Table:
        rows = [(name, _first_sentence(plugin)) for name, plugin in _plugins_of(session, kind)]
        return ("name", "what it does"), rows

    return table


def _plugins_of(session: options.Session, kind: str) -> Iterator[tuple[str, Any]]:
    """Name and class of every plugin of a kind that can be loaded."""
    from alcli import plugins

    return _load_each(session, kind, functools.partial(plugins.load, kind))


def _load_each(session: options.Session, kind: str, load: Callable[[str], Any]) -> Iterator[tuple[str, Any]]:
    """``load`` every plugin of a kind by its name; one that cannot be loaded is named on stderr and left out."""
    from alcli import plugins

    for name in plugins.names(kind):
        try:
            content = load(name)
        except UsageError as error:
            session.console.say(f"  left out: {error.what} {error.do}".rstrip())
        else:
            yield name, content


def _first_sentence(plugin: Any) -> str:
    """The start of a docstring, without the marks of code."""
    return " ".join(str(plugin.__doc__ or "").split("\n\n")[0].replace("``", "").split())


def _strategies(session: options.Session) -> Table:
    rows = [
        (name, _needs(strategy), _cost(strategy), _first_sentence(strategy))
        for name, strategy in _plugins_of(session, "strategies")
    ]
    return ("name", "needs", "cost", "what it does"), rows


def _needs(strategy: Any) -> str:
    annotated: frozenset[str] = getattr(strategy, "needs_labeled", frozenset())
    parts = [", ".join(sorted(strategy.needs)) or "nothing"]
    if annotated:
        parts.append(f"of annotated items: {', '.join(sorted(annotated))}")
    if getattr(strategy, "wraps", False):
        parts.append("what the strategy after its colon needs")
    return "; ".join(parts)


def _cost(strategy: Any) -> str:
    """The text between ``Cost:`` and ``Source:`` in the docstring."""
    text = " ".join(str(strategy.__doc__ or "").split())
    return text.partition("Cost: ")[2].partition(" Source:")[0].rstrip(".")


def _models(session: options.Session) -> Table:
    rows = [
        (name, model, "default" if model == task.light_model else "")
        for name, task in _plugins_of(session, "tasks")
        for model in task.models
    ]
    return ("task", "model", ""), rows


def _show_items(session: options.Session) -> int:
    header = ("name", "state", "folder")
    with session.open_workspace() as workspace:
        if session.console.as_json:
            session.console.rows("items", header, workspace.store.listing())
        else:
            session.console.table("items", header, list(workspace.store.listing()))
    return 0


def _quarantine(session: options.Session) -> Table:
    with session.open_workspace() as workspace:
        rows = [(entry.name, entry.reason, entry.since) for entry in workspace.store.quarantine_entries()]
    return ("name", "reason", "since"), rows


def _cycles(session: options.Session) -> Table:
    with session.open_workspace() as workspace:
        rows = [(cycle.number, cycle.started, cycle.finished or "open") for cycle in workspace.store.cycles()]
    return ("cycle", "started", "finished"), rows


def _settings(session: options.Session) -> Table:
    from alcli import config

    rows: list[tuple[Any, ...]] = []
    for section in config.Config.model_fields:
        rows += _setting_rows(section, config.shared_options(section).model_fields, "")
        kind = config.KINDS.get(section)
        if kind:
            fields_of = functools.partial(config.fields_of_plug_in, section)
            for name, fields in _load_each(session, kind, fields_of):
                rows += _setting_rows(section, fields, name)
    return ("name", "type", "default", "description", "plugin"), rows


def _setting_rows(section: str, fields: Mapping[str, Any], plugin: str) -> list[tuple[Any, ...]]:
    from alcli.system.typed_values import type_in_words

    return [
        (f"{section}.{key}", type_in_words(field.annotation), field.default, field.description or "", plugin)
        for key, field in fields.items()
    ]


def _show_settings(session: options.Session, header: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> int:
    """One table for each section, and one for each plug-in that adds to it."""
    from pydantic_core import to_jsonable_python

    session.console.result({"settings": to_jsonable_python([dict(zip(header, row, strict=True)) for row in rows])})
    for (section, plugin), group in itertools.groupby(rows, key=lambda row: (row[0].split(".")[0], row[4])):
        title = f"{section}, only for {plugin}" if plugin else section
        session.console.table(title, header[:4], [(*row[:2], _default_in_words(row[2]), row[3]) for row in group])
    return 0


def _default_in_words(default: Any) -> str:
    """A default, written as `--set` expects it."""
    if default is None or default == "" or default == () or default == {}:
        return ""
    if isinstance(default, bool):
        return str(default).lower()
    return ",".join(map(str, default)) if isinstance(default, tuple) else str(default)


def _held_out(session: options.Session) -> Table:
    from alcli.artifacts.configured_task import class_names, make_task
    from alcli.artifacts.examples import held_out_examples

    with session.copy_workspace() as context:
        store = context.workspace.store
        classes = class_names(context.config, store.annotations(store.pool().items))
        task = make_task(context.config, classes) if classes else None
        examples = held_out_examples(context, task, context.config.train.validation) if task else []
    return ("name", "folder"), [(example.item.name, example.item.folder) for example in examples]


def _exit_codes(session: options.Session) -> Table:
    from alcli.errors import EXIT_CODES

    return ("code", "meaning"), list(EXIT_CODES.items())


_TABLES: dict[str, Callable[[options.Session], Table]] = {
    "strategies": _strategies,
    "tasks": _plugins("tasks"),
    "learners": _plugins("learners"),
    "models": _models,
    "platforms": _plugins("platforms"),
    "formats": _plugins("formats"),
    "held-out": _held_out,
    "quarantine": _quarantine,
    "cycles": _cycles,
    "settings": _settings,
    "exit-codes": _exit_codes,
}
