"""The command line. One file = one command (``export_csv.py`` → ``alcli export-csv``); nothing heavy at the top."""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path

import click

from alcli import __version__
from alcli.errors import UsageError


class Commands(click.Group):
    """The folder is the list of commands."""

    def list_commands(self, context: click.Context) -> list[str]:
        """Names in the order in which they are used in a cycle, then the rest."""
        modules = [module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_")]
        names = [module.replace("_", "-") for module in modules]
        first = [
            "quickstart",
            "init",
            "cycle",
            "pull",
            "train",
            "score",
            "export-csv",
            "push",
            "status",
            "report",
            "forecast",
            "explain",
            "skip",
            "simulate",
            "list",
        ]
        return sorted(names, key=lambda name: (first.index(name) if name in first else len(first), name))

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        """The command called ``name``, which its file calls ``command``."""
        if name not in self.list_commands(context):
            return None
        command: click.Command = importlib.import_module(f"alcli.cli.{name.replace('-', '_')}").command
        return command


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Start with `alcli quickstart`: no account, no network, no GPU. Exit codes: alcli list exit-codes",
)
@click.version_option(__version__, package_name="alcli")
def cli() -> None:
    """Turn an annotation project into a ranked to-do list for its annotators, every labelling cycle.

    alcli pulls the current annotations, trains a model with its learned-loss head, scores all other images and puts
    the ones worth annotating first back in front of your annotators.
    """
    try:
        Path.cwd()
    except FileNotFoundError:
        raise UsageError("The current folder has been deleted.", do="Go to another one: cd") from None


def run(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code; every error becomes one message."""
    from alcli.cli._console import run as run_command_line

    return run_command_line(arguments)
