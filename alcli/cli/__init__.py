"""The command line: one file is one command (``export_csv.py`` → ``alcli export-csv``).

The first line of a command's file is its line in ``alcli --help``. It is read as text, because importing every command
would double the time that ``--help`` takes. For the same reason, modules here import the rest of alcli inside
functions.
"""

from __future__ import annotations

import importlib
import os

import click

from alcli import __version__

FIRST = (
    *(
        "quickstart",
        "init",
        "cycle",
        "pull",
        "train",
        "score",
        "export-csv",
        "export-batch",
        "push",
        "status",
        "report",
        "forecast",
    ),
    *("explain", "skip", "simulate", "list"),
)
"""Commands in the order in which a project needs them; all others follow in alphabetical order."""


class Commands(click.Group):
    """The folder is the list of commands."""

    def list_commands(self, context: click.Context) -> list[str]:
        """The names of all commands, in the order of the help page."""
        files = (
            name.removesuffix(".py")
            for name in os.listdir(__path__[0])  # noqa: PTH208
            if name.endswith(".py")
        )
        names = [name.replace("_", "-") for name in files if not name.startswith("_")]
        return sorted(names, key=lambda name: (FIRST.index(name) if name in FIRST else len(FIRST), name))

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        """The command called ``name``, which its file calls ``command``; None if there is no such file."""
        if name not in self.list_commands(context):
            return None
        command: click.Command = importlib.import_module(f"alcli.cli.{_module(name)}").command
        command.short_help = short_help(name)
        return command

    def resolve_command(
        self, context: click.Context, arguments: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that the first argument names; fails with a suggestion for a typing error."""
        from alcli.system.text import similar_names

        name, names = arguments[0], self.list_commands(context)
        if not name.startswith("-") and name not in names:
            near = similar_names(name, names)
            hint = f"Did you mean {' or '.join(near)}?" if near else "`alcli help` lists all."
            context.fail(f"No such command {name!r}. {hint}")
        return super().resolve_command(context, arguments)

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing any of them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, short_help(name)) for name in self.list_commands(context)])


def short_help(name: str) -> str:
    """The first line of a command's file: one sentence for the list of commands."""
    with open(os.path.join(__path__[0], f"{_module(name)}.py"), encoding="utf-8") as stream:  # noqa: PTH118, PTH123
        return stream.readline().strip().strip('"')


def _module(name: str) -> str:
    return name.replace("-", "_")


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Start with `alcli quickstart`: no account, no network, no GPU. Exit codes: alcli list exit-codes",
)
@click.version_option(__version__, package_name="alcli")
def cli() -> None:
    """Turn an annotation project into a ranked to-do list for its annotators, in every labeling cycle.

    alcli reads the current annotations, trains a model that also predicts its own loss, scores all unlabeled images,
    and moves the images that are worth annotating next to the front of the annotators' queue.
    """
    try:
        os.getcwd()  # noqa: PTH109
    except FileNotFoundError:
        from alcli.errors import UsageError

        raise UsageError("The current folder has been deleted.", do="Change to another folder.") from None


def run(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code; every error becomes one message."""
    from alcli.cli._exit_codes import run as run_command_line

    return run_command_line(arguments)
