"""Print the completion script for a shell."""

from __future__ import annotations

import click

SHELLS = ("bash", "fish", "zsh")


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
def command(shell: str) -> int:
    """Print the script that completes alcli's commands and options in a shell.

    \b
    Examples:
      alcli completion bash >> ~/.bashrc
      alcli completion fish > ~/.config/fish/completions/alcli.fish
    """
    from click.shell_completion import BashComplete, FishComplete, ZshComplete

    from alcli.cli import cli

    completion = dict(zip(SHELLS, (BashComplete, FishComplete, ZshComplete), strict=True))[shell]
    click.echo(completion(cli, {}, "alcli", "_ALCLI_COMPLETE").source())
    return 0
