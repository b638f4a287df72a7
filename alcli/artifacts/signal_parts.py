"""One part of a scoring pass as a file: signals, ids, reasons and a checksum of all of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from alcli.errors import DataError, WorkspaceDamaged
from alcli.items import Item, Refusal
from alcli.signals import Signals
from alcli.system.files import atomic_write

KEY = "alcli"


def write(file: Path, signals: Signals, refusals: Sequence[Refusal]) -> None:
    """Write the part, whole or not at all."""
    arrays = {name: np.ascontiguousarray(array) for name, array in signals.arrays.items()}
    notes: dict[str, Any] = {"ids": list(signals.item_ids), "refused": {row.id: row.reason for row in refusals}}
    notes["sha256"] = _checksum(notes, arrays)
    with atomic_write(file, "wb") as stream:
        stream.write(safetensors.numpy.save(arrays, {KEY: json.dumps(notes)}))


def is_intact(file: Path) -> bool:
    """Whether the file is there and every bit of it is what was written."""
    try:
        _content(file)
    except (OSError, DataError):
        return False
    return True


def read(file: Path, items: Sequence[Item]) -> tuple[Signals, list[Refusal]]:
    """The signals and the refusals of the part about these items; raises WorkspaceDamaged when it was changed."""
    try:
        notes, arrays = _content(file)
        by_id = {item.id: item for item in items}
        refused = [(by_id[item_id], reason) for item_id, reason in notes["refused"].items()]
        signals = Signals(notes["ids"], arrays)
    except (OSError, DataError, KeyError) as error:
        raise WorkspaceDamaged(
            f"{file} is not what the scoring pass wrote: {error}.",
            kept="The other parts are kept.",
            do="Run the same command again: this part is then computed anew.",
        ) from None
    return signals, [Refusal(item.id, item.name, reason, item.version) for item, reason in refused]


def _content(file: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    try:
        with safetensors.safe_open(file, framework="np") as stream:
            notes = json.loads((stream.metadata() or {})[KEY])
            arrays = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118 (not a dict)
        given = notes.pop("sha256")
        wanted = _checksum(notes, arrays)
    except (safetensors.SafetensorError, KeyError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(str(error)) from None
    if given != wanted:
        raise DataError("its checksum differs")
    return notes, arrays


def _checksum(notes: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> str:
    digest = hashlib.sha256(json.dumps([notes["ids"], notes["refused"]]).encode())
    for name, array in sorted(arrays.items()):
        digest.update(json.dumps([name, str(array.dtype), array.shape]).encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
