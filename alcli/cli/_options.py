"""Options that several commands share, and the ``Session`` that every command receives."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from alcli.errors import DONE, PARTIAL, AlcliError

if TYPE_CHECKING:
    from alcli.cli._console import Console
    from alcli.context import Context
    from alcli.items import Refusal
    from alcli.system.run_log import Run
    from alcli.workspace import Workspace
    from alcli.workspace.measurements import Collapse

Command = Callable[..., Any]
Observer = Callable[["Workspace", "Run"], AbstractContextManager[None]]


class Duration(click.ParamType):
    """``90s``, ``30m``, ``26h`` or ``7d`` as seconds; a bare number is seconds."""

    name = "duration"
    _UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> float:
        """The duration in seconds; fails with a usage error if the text is not a duration."""
        text = str(value).strip()
        number, unit = (text[:-1], text[-1]) if text[-1:] in self._UNITS else (text, "s")
        try:
            seconds = float(number) * self._UNITS[unit]
        except ValueError:
            seconds = -1.0
        if not 0 <= seconds < float("inf"):
            self.fail(f"{text!r} is not a duration; examples: 90s, 30m, 26h, 7d.", parameter, context)
        return seconds


class Share(click.ParamType):
    """``75%``, ``75 %`` or ``0.75`` as 0.75."""

    name = "share"

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> float:
        """The share as a fraction, in whatever range; fails with a usage error if the text is no number."""
        text = str(value).strip()
        try:
            return float(text[:-1]) / 100 if text.endswith("%") else float(text)
        except ValueError:
            self.fail(f"{text!r} is not a share; examples: 75%, 0.75.", parameter, context)


class Session:
    """The console and the workspace of one invocation; the workspace is opened on demand."""

    def __init__(self, console: Console, root: Path | None, overrides: list[str | tuple[str, Any]]) -> None:
        self.console, self.overrides = console, overrides
        self._run: Run | None = None
        self._root = root

    @property
    def given(self) -> Path | None:
        """The workspace's folder as ``-w`` names it; None without ``-w``."""
        return self._root

    @property
    def root(self) -> Path:
        """The workspace's folder: ``-w``, or the nearest folder with an alcli.toml, from the current one upward."""
        from alcli.workspace import Workspace

        return self._root if self._root is not None else Workspace.find(Path.cwd())

    @contextmanager
    def open_workspace(self) -> Iterator[Workspace]:
        """Open the workspace read-only and without a lock, for commands that change nothing."""
        from alcli.workspace import Workspace
        from alcli.workspace.database import database_errors

        workspace = Workspace.open(self.root, read_only=True)
        try:
            with database_errors(workspace.root):
                yield workspace
        finally:
            workspace.close()

    @contextmanager
    def copy_workspace(self) -> Iterator[Context]:
        """Yield a context whose database is a copy in memory, for commands that must work during a run."""
        from alcli.context import Context
        from alcli.workspace import Workspace
        from alcli.workspace.database import machine_errors

        workspace = Workspace.open_copy(self.root)
        try:
            with machine_errors(workspace.root):
                yield Context(workspace, workspace.configuration(self.overrides), self.console)
        finally:
            workspace.close()

    @contextmanager
    def share_workspace(self, wait: float = 0.0) -> Iterator[Context]:
        """Like ``copy_workspace``, for several commands at once of which each writes files of its own; no other writes.

        Args:
            wait: seconds to wait for a run that holds the workspace alone.
        """
        from alcli.context import Context
        from alcli.workspace import Workspace
        from alcli.workspace.database import machine_errors

        with Workspace.share(self.root, wait) as workspace, machine_errors(workspace.root):
            yield Context(workspace, workspace.configuration(self.overrides), self.console)

    @contextmanager
    def lock_workspace(self, wait: float = 0.0, observe: Observer | None = None) -> Iterator[Context]:
        """Open and lock the workspace, and yield the context for a step.

        Args:
            wait: seconds to wait for another run to release the lock.
            observe: a context manager around the run, which sees errors after their translation.
        """
        from alcli.context import Context
        from alcli.workspace import Workspace
        from alcli.workspace.database import machine_errors

        workspace = Workspace.open(self.root)
        try:
            config = workspace.configuration(self.overrides)
            with (
                workspace.lock(wait),
                self._log_run(workspace.root) as run,
                observe(workspace, run) if observe else nullcontext(),
                # Innermost, so that the log and the observer see the translated error.
                machine_errors(workspace.root),
            ):
                if workspace.copy_before is not None:
                    self.console.say(f"Migrated the database to a new schema; a copy is {workspace.copy_before}.")
                yield Context(workspace, config, self.console)
        finally:
            workspace.close()

    def exit_code(self, problems: Sequence[Refusal], collapse: Collapse | None = None) -> int:
        """The exit code of a run that reached its end; the run's log records it, too."""
        code = PARTIAL if problems or collapse else DONE
        if self._run is not None:
            self._run.exit_code = code
        return code

    @contextmanager
    def _log_run(self, root: Path) -> Iterator[Run]:
        """Log the run; an internal error writes its traceback to a file next to the log."""
        from alcli.system import run_log
        from alcli.system.crash_reports import internal_error
        from alcli.workspace import LOGS

        folder = root / LOGS
        command = click.get_current_context().find_root().obj or sys.argv[1:]
        with run_log.log_run(folder, command) as self._run:
            self.console.run_id = self._run.id
            try:
                yield self._run
            except (AlcliError, click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
                raise
            except Exception as error:
                raise internal_error(error, folder, self._run.id) from error


def shared(command: Command) -> Command:
    """Add ``-w --set --json -q -v`` to a command, and pass it a ``Session`` as ``session``."""

    def with_session(
        workspace: Path | None,
        as_json: bool,
        quiet: bool,
        verbose: bool,
        settings: tuple[str, ...],
        **rest: Any,
    ) -> Any:
        from alcli.cli._console import Console

        console = Console(as_json, quiet, verbose)
        overrides: list[str | tuple[str, Any]] = [*settings, *_overrides(rest)]
        return command(session=Session(console, workspace, overrides), **rest)

    with_session.__doc__, with_session.__name__ = command.__doc__, command.__name__
    with_session.__click_params__ = getattr(command, "__click_params__", [])  # type: ignore[attr-defined]
    decorated: Command = with_session
    for option in reversed(_SHARED):
        decorated = option(decorated)
    return decorated


def complete_names(kind: str) -> Callable[[click.Context, click.Parameter, str], list[str]]:
    """Shell completion of an option's value by the names of a kind of plug-in; imports none of them."""

    def complete(context: click.Context, parameter: click.Parameter, start: str) -> list[str]:
        from alcli import plugins

        return [name for name in plugins.names(kind) if name.startswith(start)]

    return complete


def setting(flag: str, name: str, help: str, **options: Any) -> Callable[[Command], Command]:
    """A flag that overrides one setting, ``section.key``."""
    return click.option(flag, SETTING_PREFIX + name.replace(".", "__"), help=f"{help}  [{name}]", **options)


SETTING_PREFIX = "setting_"


def _overrides(rest: dict[str, Any]) -> list[tuple[str, Any]]:
    """Take the settings out of a command's arguments."""
    arguments = [argument for argument in rest if argument.startswith(SETTING_PREFIX)]
    settings = [
        (argument.removeprefix(SETTING_PREFIX).replace("__", "."), rest.pop(argument)) for argument in arguments
    ]
    return [(name, value) for name, value in settings if value is not None]


_SHARED = [
    click.option(
        "-w",
        "--workspace",
        type=click.Path(path_type=Path, file_okay=False),
        help="Workspace folder. Default: the nearest folder with an alcli.toml, from here upward.",
    ),
    click.option(
        "--set",
        "settings",
        multiple=True,
        metavar="SECTION.KEY=VALUE",
        help="Override a setting for this run; see `alcli list settings`.",
    ),
    click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON document."),
    click.option("-q", "--quiet", is_flag=True, help="Print errors only."),
    click.option("-v", "--verbose", is_flag=True, help="Print more details."),
]

budget = setting("--budget", "selection.budget", "Images to annotate per cycle.", type=click.IntRange(1))
strategy = setting(
    "--strategy",
    "strategy.name",
    "Ranking strategy; see `alcli list strategies`.",
    shell_complete=complete_names("strategies"),
)
allow_cold_start = setting(
    "--allow-cold-start",
    "train.allow_cold_start",
    "Rank without a model although no annotation can be used.",
    is_flag=True,
    default=None,
)
accept_worse = setting(
    "--accept-worse",
    "train.accept_worse",
    "Rank with the new model although it is clearly worse than the last one.",
    is_flag=True,
    default=None,
)
validation = setting(
    "--validation",
    "train.validation",
    "Share of the annotated images held out to evaluate the model.",
    type=click.FloatRange(0, 1),
)
wait = click.option(
    "--wait",
    type=Duration(),
    default="0s",
    help="Wait up to this long (30m, 2h) for another run to end; without it, exit 11.",
)
dry_run = click.option("--dry-run", is_flag=True, help="Show what would change, without changing it.")
top = click.option("--top", type=click.IntRange(1), help="Only the first N images of the list.")
accept_shrink = click.option(
    "--accept-shrink", is_flag=True, help="Go on although half of the images or labels are gone."
)
