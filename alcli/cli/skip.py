"""Exclude images from all future lists."""

from __future__ import annotations

import sys
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

import click

from alcli.cli import _options as options
from alcli.errors import UsageError
from alcli.formats import listed_names, match_listed

if TYPE_CHECKING:
    from alcli.items import Item
    from alcli.workspace.records import Skip

STDIN = "-"
LISTS = frozenset({".txt", ".csv", ".tsv", ".lst", ".list"})
"""Suffixes of files with names; no image has them."""


@click.command()
@click.argument("listed", metavar="LIST", required=False)
@click.option("--undo", is_flag=True, help="Include these images again; without LIST, all of them.")
@options.wait
@options.dry_run
@options.shared
def command(session: options.Session, listed: str | None, undo: bool, dry_run: bool, wait: float) -> int:
    """Exclude images from all future lists; the next `alcli push` also removes them from the queue.

    LIST is a file with one name per line, - for stdin, or a single name. FOLDER/NAME is one image; NAME alone is every
    image with that name. Without LIST, the excluded images are shown. The exclusion is kept across cycles, and even on
    another platform if names and folders stay the same.

    \b
    Examples:
      alcli skip blurred.txt
      alcli skip IMG_0042.jpg
      alcli skip --undo blurred.txt
      alcli skip
    """
    from alcli.system.clock import now
    from alcli.system.text import quantity

    if listed is None and not undo:
        return _show(session)
    with session.lock_workspace(wait) as context:
        store = context.workspace.store
        known = {item.name for item in store.pool().items.values()}
        names = _names(listed, known) if listed is not None else None
        if undo:
            names, missing = _match(names, [(skip.folder, skip.name) for skip in store.skips()])
            ids = [skip.item_id for skip in store.skips() if names is None or _has_name(skip, names)]
            if not dry_run:
                store.unskip(ids)
        else:
            everything = store.pool().items.values()
            names, missing = _match(names, [(item.folder, item.name) for item in everything])
            items = [item for item in everything if _is_one(item, set(names or ()))]
            ids = [item.id for item in items]
            if not dry_run:
                store.skip(items, now())
    change = "no longer excluded" if undo else "excluded from now on"
    text = f"{quantity(len(ids), 'image')} {'is' if len(ids) == 1 else 'are'} {change}."
    text += " Nothing was changed." if dry_run else ""
    session.console.result({"undo": undo, "dry_run": dry_run, "images": len(ids), "unknown": missing}, text)
    for name in missing[:5]:
        session.console.say(f"  unknown name: {name}")
    return 3 if missing else 0


def _show(session: options.Session) -> int:
    with session.open_workspace() as workspace:
        rows = [(skip.name, skip.folder, skip.since) for skip in workspace.store.skips()]
    header = ("name", "folder", "since")
    session.console.result({"skipped": [dict(zip(header, row, strict=True)) for row in rows]})
    session.console.table("Excluded images", header, rows)
    return 0


def _names(listed: str, known: Collection[str]) -> list[str]:
    """The names in the file or on stdin, or the single name itself; raises UsageError for a missing file."""
    if listed == STDIN:
        text = sys.stdin.read()
    elif Path(listed).is_file():
        text = _read(Path(listed))
    elif Path(listed).suffix.lower() in LISTS and listed not in known:
        raise UsageError(f"There is no file {listed}.", do="Give a file with one name per line, or one image's name.")
    else:
        return [listed]
    return listed_names(text)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read: {error.strerror}.", do="Give a file with one name per line."
        ) from None


def _is_one(item: Item, names: set[str]) -> bool:
    return item.name in names or item.id in names or f"{item.folder}/{item.name}" in names


def _has_name(skip: Skip, names: list[str]) -> bool:
    return skip.name in names or skip.item_id in names or f"{skip.folder}/{skip.name}" in names


def _match(names: list[str] | None, images: list[tuple[str, str]]) -> tuple[list[str] | None, list[str]]:
    """(names as images have them, names that no image has); names without suffix are those of the only such image."""
    if names is None:
        return None, []
    known = {name for _, name in images} | {f"{folder}/{name}" for folder, name in images}
    unknown = [name for name in names if name not in known]
    if not unknown:
        return names, []
    listed, unclear = match_listed(unknown, sorted({name for _, name in images}))
    return [*names, *sorted(listed)], unclear
