"""One part of a scoring pass as a file: the signals of some items, and why others could not be scored."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from alcli.errors import DataError, WorkspaceDamaged
from alcli.items import Item, Refusal
from alcli.signals import Signals
from alcli.system.arrays import Arrays, read_arrays, write_arrays


def write(path: Path, signals: Signals, refusals: Sequence[Refusal]) -> None:
    """Write the part, whole or not at all."""
    refused = {refusal.id: refusal.reason for refusal in refusals}
    write_arrays(path, Arrays(signals.arrays, {"ids": list(signals.item_ids), "refused": refused}))


def read(path: Path, items: Sequence[Item]) -> tuple[Signals, list[Refusal]]:
    """Read the signals and the refusals of the part about these items; raises WorkspaceDamaged if it was changed."""
    try:
        content = read_arrays(path)
        by_id = {item.id: item for item in items}
        refused = [(by_id[item_id], reason) for item_id, reason in content.notes["refused"].items()]
        signals = Signals(content.notes["ids"], content.arrays)
    except (OSError, DataError, KeyError, AttributeError, TypeError) as error:
        raise WorkspaceDamaged(
            f"{path} is not what the scoring pass wrote: {error}.",
            kept="The other parts are kept.",
            do="Run the same command again: this part is then computed anew.",
        ) from None
    return signals, [Refusal(item.id, item.name, reason, item.version) for item, reason in refused]
