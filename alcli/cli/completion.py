"""``alcli completion``."""

from __future__ import annotations

import click


@click.command(short_help="Print a shell's completion script.")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> int:
    """Print the completion script of a shell.

    \b
    Examples:
      alcli completion bash >> ~/.bashrc
      alcli completion fish > ~/.config/fish/completions/alcli.fish
    """
    from click.shell_completion import get_completion_class

    from alcli.cli import cli

    completion = get_completion_class(shell)
    assert completion is not None
    click.echo(completion(cli, {}, "alcli", "_ALCLI_COMPLETE").source())
    return 0
