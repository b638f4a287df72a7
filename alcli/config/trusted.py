"""Settings that ``alcli.toml`` alone may not decide: where a token goes, which files outside are written, what runs.

A workspace may come from somebody else. Such a setting is used only if it comes from a flag or the environment, or if
this user has confirmed its value for this workspace. Confirmed values are in ``alcli/trusted.toml`` in the user's own
folder for configuration, never in a workspace. ``alcli init`` and ``alcli trust`` write them there.
"""

from __future__ import annotations

import os
import shlex
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path

import tomlkit
import tomlkit.exceptions

from alcli.config import Config
from alcli.errors import AuthError, MachineError
from alcli.system.files import atomic_write

FILE_NAME = "trusted.toml"
SECTIONS = ("platform", "learner", "score", "notify")


def confirmed_file(environ: Mapping[str, str] = os.environ) -> Path | None:
    """The file of confirmed values in the user's folder for configuration; None for a user without a home."""
    base = Path(environ.get("XDG_CONFIG_HOME", ""))
    if not base.is_absolute():
        try:
            base = Path.home() / ".config"
        except RuntimeError:
            return None
    return base / "alcli" / FILE_NAME


def check(config: Config, workspace: Path, section: str) -> None:
    """Raise AuthError if ``alcli.toml`` alone decides a setting of the section that this user has not confirmed."""
    open_questions = {
        setting: reason
        for setting, reason in unconfirmed(config, workspace).items()
        if setting.startswith(f"{section}.")
    }
    if not open_questions:
        return
    setting, reason = next(iter(open_questions.items()))
    once, single = shlex.quote(str(workspace)), shlex.quote(f"{setting}={_shown(config, setting)}")
    raise AuthError(
        f"{reason} Only {workspace.resolve() / 'alcli.toml'} says so, and a workspace may come from somebody else.",
        kept="Nothing was sent or changed.",
        do=f"If you trust it, run this once: alcli trust -w {once}. For a single run: --set {single}",
    )


def unconfirmed(config: Config, workspace: Path) -> dict[str, str]:
    """Every such setting that only ``alcli.toml`` decides and that is not confirmed, each with what it would do."""
    asked = _effects(config, workspace)
    asked = {setting: reason for setting, reason in asked.items() if setting in config.in_file}
    if not asked:
        return {}
    known = _read(confirmed_file()).get(str(workspace.resolve()), {})
    return {
        setting: reason for setting, reason in asked.items() if known.get(setting) != _value(config, workspace, setting)
    }


def confirm(config: Config, workspace: Path) -> dict[str, str]:
    """Confirm this configuration's such settings for this workspace; returns their values.

    Raises:
        MachineError: the user has no folder for configuration, or it cannot be written.
    """
    values = {setting: _value(config, workspace, setting) for setting in _effects(config, workspace)}
    if not values:
        return {}
    path = confirmed_file()
    if path is None:
        raise MachineError("This user has no home folder, so nothing can be confirmed.", do=_each_run(config, values))
    everything = {**_read(path), str(workspace.resolve()): values}
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with atomic_write(path) as stream:
            stream.write(tomlkit.dumps(everything))
    except OSError as error:
        raise MachineError(f"{path} cannot be written: {error.strerror}.", do=_each_run(config, values)) from None
    return values


def _each_run(config: Config, values: Iterable[str]) -> str:
    named = " ".join(f"ALCLI_{name.replace('.', '_').upper()}={_shown(config, name)}" for name in values)
    return f"Set HOME or XDG_CONFIG_HOME, or give the values in the environment of each run: {named}"


def _effects(config: Config, workspace: Path) -> dict[str, str]:
    """Every setting of this configuration that does something outside the workspace, with what it does."""
    return {
        f"{section}.{key}": reason
        for section in SECTIONS
        for key, reason in config.options_of(section).outside_effects(workspace.resolve()).items()
    }


def _value(config: Config, workspace: Path, setting: str) -> str:
    """What is confirmed: the setting's value, and for a command also what it consists of."""
    section, key = setting.split(".")
    return str(config.options_of(section).confirmed_value(key, workspace.resolve()))


def _shown(config: Config, setting: str) -> str:
    section, key = setting.split(".")
    return str(getattr(config.options_of(section), key))


def _read(path: Path | None) -> dict[str, dict[str, str]]:
    """Confirmed values by workspace and setting; raises AuthError if the file is not this user's own."""
    if path is None:
        return {}
    try:
        facts = path.stat()
        document = tomlkit.parse(path.read_text(encoding="utf-8")).unwrap()
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, tomlkit.exceptions.TOMLKitError) as error:
        raise AuthError(f"{path} cannot be read: {error}.", do="Delete it, then run `alcli trust`.") from None
    if stat.S_IMODE(facts.st_mode) & 0o022 or facts.st_uid not in (0, os.geteuid()):
        raise AuthError(f"Other users can change {path}.", do=f"chmod 600 {path}")
    return {name: values for name, values in document.items() if isinstance(values, dict)}
