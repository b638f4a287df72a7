"""Explain the rank of one image, and the reason for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from alcli.cli import _options as options

if TYPE_CHECKING:
    from alcli.items import Item
    from alcli.workspace import Workspace


@click.command()
@click.argument("name")
@options.shared
def command(session: options.Session, name: str) -> int:
    """Explain one image: its state, and for each cycle its rank, the reason, and the model's signals.

    NAME is the image's name, FOLDER/NAME, or its ID on the platform.

    \b
    Examples:
      alcli explain IMG_0042.jpg
      alcli explain -w W night/IMG_0042.jpg --json
    """
    with session.open_workspace() as workspace:
        explanations = [_explanation(workspace, item, state) for item, state in _items(workspace, name)]
    session.console.result({"items": explanations})
    for explanation in explanations:
        session.console.table(explanation["name"], ("", ""), _lines(explanation))
    return 0


def _items(workspace: Workspace, name: str) -> list[tuple[Item, str]]:
    """All items with this name, FOLDER/NAME or id, with their states; raises UsageError if there are none."""
    from alcli.errors import UsageError
    from alcli.system.text import did_you_mean

    pool = workspace.store.pool()
    items = [item for item in pool.items.values() if name in (item.name, item.id, f"{item.folder}/{item.name}")]
    if not items:
        known = sorted({item.name for item in pool.items.values()})
        near = did_you_mean(name, known) if 0 < len(known) < 5000 else ""
        raise UsageError(
            f"There is no image {name!r}.", do=near if near.startswith("Did") else "See `alcli list items`."
        )
    return [(item, pool.state(item)) for item in items]


def _explanation(workspace: Workspace, item: Item, state: str) -> dict[str, Any]:
    from alcli.annotations import in_words

    store = workspace.store
    said = store.annotations([item.id])
    skipped = {skip.item_id: skip.since for skip in store.skips()}
    left_out = next((entry.reason for entry in store.quarantine_entries() if entry.item_id == item.id), None)
    return {
        "name": item.name,
        "folder": item.folder,
        "id": item.id,
        "state": state,
        "annotated": in_words(said[0]) if said else None,
        "left_out": left_out,
        "skipped_since": skipped.get(item.id),
        "lists": _lists(workspace, item),
    }


def _lists(workspace: Workspace, item: Item) -> list[dict[str, Any]]:
    """The item's rank and signals in each cycle that ranked it, newest first."""
    from alcli.artifacts.scores import read_scores
    from alcli.system.tables import plain
    from alcli.workspace.records import Scored

    lists = []
    for record in reversed(workspace.all_steps(Scored)):
        rows = read_scores(record.file) if record.file and record.file.is_file() else []
        row = next((row for row in rows if row.item_id == item.id), None)
        if row is not None:
            lists.append(
                {
                    "cycle": record.cycle,
                    "rank": row.rank,
                    "of": record.summary.scored + len(record.summary.rechecks),
                    "asked": row.asked,
                    "percentile": row.percentile,
                    "strategy": record.summary.strategy,
                    "reason": row.reason,
                    "signals": {name: plain(value) for name, value in row.signals.items()},
                }
            )
    return lists


def _lines(explanation: dict[str, Any]) -> list[tuple[str, Any]]:
    facts = {key: value for key, value in explanation.items() if value and key not in ("lists", "name")}
    lines = [(key.replace("_", " "), value) for key, value in facts.items()]
    for entry in explanation["lists"]:
        asked = "selected" if entry["asked"] else "not selected"
        lines.append((f"cycle {entry['cycle']}", f"rank {entry['rank']} of {entry['of']}, {asked}"))
        lines.append(("  why", entry["reason"] or f"ranked by {entry['strategy']}"))
        lines += [(f"  {name}", f"{float(value):.4g}") for name, value in entry["signals"].items()]
    return lines
