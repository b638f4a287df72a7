"""Confirm what a workspace does outside its folder."""

from __future__ import annotations

import click

from alcli.cli import _options as options


@click.command()
@options.dry_run
@options.shared
def command(session: options.Session, dry_run: bool) -> int:
    """Confirm the addresses and files outside the workspace that its alcli.toml names.

    A workspace from somebody else could send your token to a host of theirs, or overwrite your files. So alcli refuses
    an address that is not SuperAnnotate's, a token file, and a queue outside the folders of images and annotations
    until you have confirmed them. `alcli init` confirms what you give it. The confirmation is kept in your own folder
    (~/.config/alcli/trusted.toml); it counts for this workspace in this place, and for these values.

    \b
    Examples:
      alcli trust -w W --dry-run
      alcli trust -w W
    """
    from alcli.config import load, trusted

    config = load(session.root, session.overrides)
    open_questions = trusted.unconfirmed(config, session.root)
    if open_questions and not dry_run:
        trusted.confirm(config, session.root)
    lines = [f"{setting}: {reason}" for setting, reason in open_questions.items()]
    end = "Nothing was confirmed." if dry_run else f"Confirmed; kept in {trusted.confirmed_file()}"
    session.console.result(
        {"dry_run": dry_run, "confirmed": [] if dry_run else list(open_questions), "open": list(open_questions)},
        "\n".join([*lines, end]) if lines else "There is nothing to confirm.",
    )
    return 0
