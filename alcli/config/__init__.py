"""``alcli.toml``, environment and flags → one checked object.

Precedence: flag > ``ALCLI_SECTION_KEY`` in the environment > ``alcli.toml`` > default. The type of a setting decides
how a value is read (``alcli.system.typed_values``). Relative paths in the file are relative to the workspace. An
unknown key is an error that names the nearest one.

The sections here hold what all plug-ins of a kind share. A platform, task, learner or strategy may add settings of its
own to its section: a class ``Options`` in the plug-in class that extends ``PlatformOptions``, ``TaskOptions``,
``LearnerOptions`` or ``StrategyOptions``.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

import pydantic
import tomlkit
import tomlkit.exceptions
from pydantic import SerializeAsAny
from pydantic.fields import FieldInfo

from alcli import plugins
from alcli.config._sections import (
    CacheOptions,
    CostOptions,
    LearnerOptions,
    ModelOptions,
    NotifyOptions,
    PathUnless,
    PlatformOptions,
    ReportOptions,
    ScoreOptions,
    Section,
    SelectionOptions,
    StrategyOptions,
    TaskOptions,
    TrainOptions,
)
from alcli.errors import MachineError, UsageError
from alcli.system.files import atomic_write
from alcli.system.text import did_you_mean
from alcli.system.typed_values import Text, read_value

__all__ = [
    "FILE_NAME",
    "KINDS",
    "CacheOptions",
    "Config",
    "CostOptions",
    "LearnerOptions",
    "ModelOptions",
    "NotifyOptions",
    "PathUnless",
    "PlatformOptions",
    "ReportOptions",
    "ScoreOptions",
    "Section",
    "SelectionOptions",
    "StrategyOptions",
    "TaskOptions",
    "TrainOptions",
    "check",
    "environment",
    "fields_of_plug_in",
    "load",
    "own_options",
    "parse_override",
    "put",
    "rename_strategy",
    "shared_options",
    "write",
]
FILE_NAME = "alcli.toml"
KINDS = {"platform": "platforms", "task": "tasks", "learner": "learners", "strategy": "strategies"}
"""Sections to which plug-ins add settings of their own, and the kind of these plug-ins."""

MOST_USED: dict[str, dict[str, Any]] = {
    "model": {"weights": "auto", "input_size": 320},
    "train": {"epochs": 30},
    "strategy": {"name": "auto"},
    "selection": {"budget": 50},
}
"""What a new ``alcli.toml`` has as comments: a value for each of the settings that people change most."""


class Config(Section):
    """Everything one run needs to know."""

    platform: SerializeAsAny[PlatformOptions] = PlatformOptions()
    task: SerializeAsAny[TaskOptions] = TaskOptions()
    learner: SerializeAsAny[LearnerOptions] = LearnerOptions()
    model: ModelOptions = ModelOptions()
    train: TrainOptions = TrainOptions()
    score: ScoreOptions = ScoreOptions()
    cache: CacheOptions = CacheOptions()
    strategy: SerializeAsAny[StrategyOptions] = StrategyOptions()
    selection: SelectionOptions = SelectionOptions()
    report: ReportOptions = ReportOptions()
    cost: CostOptions = CostOptions()
    notify: NotifyOptions = NotifyOptions()
    _in_file: frozenset[str] = pydantic.PrivateAttr(frozenset())

    @property
    def in_file(self) -> frozenset[str]:
        """The settings that ``alcli.toml`` decides, because neither a flag nor the environment does."""
        return self._in_file

    def options_of(self, section: str) -> Any:
        """A section as the plug-in's own ``Options``, with defaults; raises UsageError for an unknown plug-in."""
        options = getattr(self, section)
        if section not in KINDS:
            return options
        own = own_options(section, options.name)
        if isinstance(options, own):
            return options
        return own(**{key: getattr(options, key) for key in options.model_fields_set if key in own.model_fields})

    def complete(self) -> Config:
        """A copy with the own options of all plug-ins, with defaults; may import them."""
        return self.model_copy(update={section: self.options_of(section) for section in KINDS})

    def resolve_all(self, workspace: Path) -> Config:
        """A copy with every relative path resolved against the workspace; raises UsageError for an invalid path."""
        return self.model_copy(
            update={name: getattr(self, name).resolve_paths(workspace, name) for name in Config.model_fields}
        )

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle plain values: a class that combines the options of two plug-ins belongs to no module."""
        return check, (self.model_dump(),)


def load(
    workspace: Path, overrides: Iterable[str | tuple[str, Any]] = (), environ: Mapping[str, str] = os.environ
) -> Config:
    """The configuration of a workspace, paths resolved.

    Args:
        workspace: the folder with ``alcli.toml``.
        overrides: ``section.key=text``, or (``section.key``, value); they override file and environment.
        environ: searched for ``ALCLI_SECTION_KEY``.

    Raises:
        UsageError: unreadable file, unknown key, wrong type or value.
    """
    document = _read(workspace / FILE_NAME)
    in_file = {f"{name}.{key}" for name, table in document.items() if isinstance(table, dict) for key in table}
    given = [*environment(environ).items()]
    given += [parse_override(override) if isinstance(override, str) else override for override in overrides]
    for setting, value in given:
        put(document, setting, value)
    _check_variables(document, _from_environment(environ))
    config = check(document).resolve_all(workspace)
    config._in_file = frozenset(in_file - {setting for setting, _ in given})
    return config


def environment(environ: Mapping[str, str] = os.environ) -> dict[str, Text]:
    """The settings that ``ALCLI_SECTION_KEY`` variables give, known or not, by ``section.key``."""
    return {setting: Text(environ[variable]) for variable, setting in _from_environment(environ).items()}


def check(document: Mapping[str, Any]) -> Config:
    """The document as a Config; raises UsageError naming every bad key and the nearest good one."""
    sections, complaints = {}, []
    for name in Config.model_fields:
        table = document.get(name, {})
        options = _options_for(name, table)
        try:
            sections[name] = options.model_validate(table)
        except pydantic.ValidationError as error:
            complaints += [_complaint(name, options, table, detail) for detail in error.errors()]
    for name in document:
        if name not in Config.model_fields:
            complaints.append(f"Unknown section {name!r}. {did_you_mean(str(name), Config.model_fields)}")
    if complaints:
        raise UsageError(
            "The configuration cannot be used: " + " ".join(complaints),
            do=f"Correct {FILE_NAME}, the ALCLI_ variables or the flags.",
        )
    return Config(**sections)


def own_options(section: str, name: str) -> type[Section]:
    """The options of the plug-in of this name: its own ``Options``, or the section's.

    ``outer:inner`` has those of both strategies.

    Raises:
        UsageError: there is no such plug-in, or its ``Options`` do not extend the section's.
    """
    shared = shared_options(section)
    own_classes: list[type[Section]] = []
    for part in name.split(":") if section == "strategy" else [name]:
        own = plugins.load_options(KINDS[section], part) or shared
        if not issubclass(own, shared):
            raise UsageError(f"The Options of the {section} {part} do not extend {shared.__name__}.")
        if own is not shared and own not in own_classes:
            own_classes.append(own)
    if len(own_classes) > 1:
        return pydantic.create_model("Options", __base__=tuple(own_classes))
    return own_classes[0] if own_classes else shared


def rename_strategy(options: StrategyOptions, name: str) -> StrategyOptions:
    """The section for another strategy: own settings are kept only for strategies that both names contain."""
    both = set(options.name.split(":")) & set(name.split(":"))
    kept = set(StrategyOptions.model_fields).union(*(fields_of_plug_in("strategy", part) for part in both))
    values = {key: getattr(options, key) for key in options.model_fields_set & kept}
    renamed: Any = own_options("strategy", name).model_validate({**values, "name": name})
    return cast(StrategyOptions, renamed)


def shared_options(section: str) -> type[Section]:
    """What all plug-ins of a section share."""
    return type(Config.model_fields[section].default)


def fields_of_plug_in(section: str, name: str) -> dict[str, FieldInfo]:
    """The settings that one plug-in adds to its section, by key."""
    shared = shared_options(section).model_fields
    return {key: field for key, field in own_options(section, name).model_fields.items() if key not in shared}


def parse_override(text: str) -> tuple[str, Text]:
    """``"train.epochs=8"`` → ``("train.epochs", "8")``, to be read by the type of ``train.epochs``.

    Raises:
        UsageError: the text does not start with ``section.key=``.
    """
    setting, separator, value = text.partition("=")
    if not separator or setting.count(".") != 1:
        raise UsageError(f"{text!r} is not of the form section.key=value.", do="For example: --set train.epochs=8")
    return setting.strip(), Text(value.strip())


def put(document: dict[str, Any], setting: str, value: Any) -> None:
    """Set ``section.key`` of a document; ``check`` refuses a section that is not a table."""
    section, key = setting.split(".", 1)
    table = document.setdefault(section, {})
    if isinstance(table, dict):
        table[key] = value


def write(path: Path, settings: Mapping[str, Any]) -> None:
    """Write ``section.key`` settings as a new ``alcli.toml``, with each section's purpose as a comment."""
    document = tomlkit.document()
    document.add(tomlkit.comment("alcli: active learning for this annotation project. `alcli --help`"))
    for name, field in Config.model_fields.items():
        keys = {setting.split(".")[1]: value for setting, value in settings.items() if setting.split(".")[0] == name}
        examples = {key: value for key, value in MOST_USED.get(name, {}).items() if key not in keys}
        if not keys and not examples:
            continue
        table = tomlkit.table()
        table.comment(str((type(field.default).__doc__ or "").splitlines()[0]))
        for key, value in keys.items():
            table.add(key, str(value) if isinstance(value, Path) else value)
        for key, value in examples.items():
            table.add(tomlkit.comment(f"{key} = {tomlkit.item(value).as_string()}  # {_description(field, key)}"))
        document.add(name, table)
    text = tomlkit.dumps(document)
    with atomic_write(path) as stream:
        stream.write(text)


def _description(section: FieldInfo, key: str) -> str:
    return str(type(section.default).model_fields[key].description)


def _options_for(section: str, table: Any) -> type[Section]:
    """The class that validates a section's table.

    A plug-in is loaded only if the table has a key that not all plug-ins of its kind share: importing one may be slow.
    """
    shared = shared_options(section)
    if section not in KINDS or not isinstance(table, Mapping) or set(table) <= set(shared.model_fields):
        return shared
    return own_options(section, _name_in(section, table))


def _name_in(section: str, table: Mapping[str, Any]) -> str:
    return str(read_value(str, table.get("name", shared_options(section).model_fields["name"].default)))


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomlkit.parse(path.read_text(encoding="utf-8-sig")).unwrap()
    except tomlkit.exceptions.TOMLKitError as error:
        raise UsageError(f"{path} is not valid TOML: {error}.", do="Correct that line.") from None
    except UnicodeDecodeError:
        raise UsageError(f"{path} is not UTF-8 text.", do="Save it as UTF-8.") from None
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise MachineError(f"{path} cannot be read: {error.strerror}.", do="Check its permissions.") from None


def _from_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Map each variable that starts with ``ALCLI_SECTION_`` to its ``section.key``."""
    return {
        variable: f"{section}.{rest.lower() if rest == rest.upper() else rest}"
        for section in Config.model_fields
        for variable in environ
        if (rest := variable.removeprefix(f"ALCLI_{section.upper()}_")) != variable
    }


def _check_variables(document: Mapping[str, Any], variables: Mapping[str, str]) -> None:
    """Raise UsageError for a variable that names an unknown key."""
    for variable, setting in variables.items():
        section, key = setting.split(".", 1)
        table = document.get(section)
        fields = _options_for(section, table).model_fields
        if key in fields or not isinstance(table, Mapping):
            continue
        if owners := _owners(section, key):
            raise UsageError(_belongs(setting, owners, _name_in(section, table)), do=f"Unset {variable}.")
        known = [f"ALCLI_{name}_{each}".upper() for name in Config.model_fields
                 for each in _options_for(name, document.get(name, {})).model_fields]  # fmt: skip
        raise UsageError(f"Unknown variable {variable}.", do=did_you_mean(variable, known))


def _complaint(section: str, options: type[Section], table: Any, detail: Any) -> str:
    setting = ".".join([section, *(str(part) for part in detail["loc"])])
    if detail["type"] != "extra_forbidden":
        return f"{setting} = {detail['input']!r}: {detail['msg'].lower()}."
    key = str(detail["loc"][0])
    if owners := _owners(section, key):
        return _belongs(setting, owners, _name_in(section, table))
    elsewhere = [f"{name}.{key}" for name in Config.model_fields if key in shared_options(name).model_fields]
    suggestion = f"Did you mean {' or '.join(elsewhere)}?" if elsewhere else did_you_mean(key, options.model_fields)
    return f"Unknown key {setting!r}. {suggestion}"


def _owners(section: str, key: str) -> list[str]:
    """The plug-ins that add this key to the section."""
    owners = []
    for name in plugins.names(KINDS[section]) if section in KINDS else ():
        with contextlib.suppress(UsageError):  # a plug-in that cannot be imported must not hide which key is wrong
            if key in fields_of_plug_in(section, name):
                owners.append(name)
    return owners


def _belongs(setting: str, owners: list[str], name: str) -> str:
    section = setting.split(".")[0]
    return f"{setting} belongs to the {section} {' or '.join(owners)}; this workspace has {section}.name = {name}."
