"""One part of a scoring pass as a file: the signals of some items, and why others could not be scored."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from alcli.errors import DataError, WorkspaceDamaged
from alcli.items import Item, Refusal
from alcli.signals import Signals
from alcli.system.arrays import Arrays, read_arrays, write_arrays


def write(path: Path, signals: Signals, refusals: Sequence[Refusal], unfetched: Sequence[Refusal] = ()) -> None:
    """Write the part, whole or not at all.

    Args:
        unfetched: of images that could not even be fetched; only these may be transient.
    """
    notes = {
        "ids": list(signals.item_ids),
        "refused": {refusal.id: refusal.reason for refusal in refusals},
        "unfetched": {refusal.id: [refusal.reason, refusal.transient] for refusal in unfetched},
    }
    write_arrays(path, Arrays(signals.arrays, notes))


def read(path: Path, items: Sequence[Item]) -> tuple[Signals, list[Refusal]]:
    """Read the signals and the refusals of the part about these items; raises WorkspaceDamaged if it was changed."""
    try:
        content = read_arrays(path)
        by_id = {item.id: item for item in items}
        refused = [(by_id[item_id], reason, False) for item_id, reason in content.notes["refused"].items()]
        away = [(by_id[item_id], *why) for item_id, why in content.notes.get("unfetched", {}).items()]
        # The items' own texts: a pool's ids are not held twice.
        ids = [by_id[item_id].id if item_id in by_id else item_id for item_id in content.notes["ids"]]
        signals = Signals(ids, content.arrays)
        refusals = [Refusal(item.id, item.name, reason, item.version, bool(transient))
                    for item, reason, transient in (*away, *refused)]  # fmt: skip
    except (OSError, DataError, KeyError, AttributeError, TypeError, ValueError) as error:
        raise WorkspaceDamaged(
            f"{path} is not what the scoring pass wrote: {error}.",
            kept="The other parts are kept.",
            do="Run the same command again: this part is then computed anew.",
        ) from None
    return signals, refusals


def read_unfetched(path: Path) -> frozenset[str] | None:
    """The ids of the images that could not be fetched for the part; None if there is no whole part."""
    try:
        return frozenset(read_arrays(path).notes.get("unfetched", {}))
    except (OSError, DataError, AttributeError, TypeError):
        return None
