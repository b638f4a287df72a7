"""Arrays with notes and a checksum over both, as one safetensors file: whole, and what was written, or refused."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alcli.errors import DataError
from alcli.system.files import atomic_write

if TYPE_CHECKING:
    import numpy as np

KEY = "alcli"
"""One metadata key: safetensors writes several in an order that differs from run to run."""


@dataclass(frozen=True)
class Arrays:
    """The content of one file: arrays by name, and notes that JSON can hold."""

    arrays: Mapping[str, np.ndarray]
    notes: Mapping[str, Any]


def write_arrays(path: Path, content: Arrays) -> None:
    """Write the arrays and their notes, whole or not at all; equal content gives equal bytes."""
    import safetensors.numpy

    arrays = {name: _contiguous(array) for name, array in content.arrays.items()}
    notes = {**content.notes, "sha256": _checksum(arrays, content.notes)}
    with atomic_write(path, "wb") as stream:
        stream.write(safetensors.numpy.save(arrays, {KEY: json.dumps(notes)}))


def read_notes(path: Path) -> Mapping[str, Any]:
    """Read the notes only, without a look at the arrays or the checksum; raises like ``read_arrays``."""
    import safetensors

    try:
        with safetensors.safe_open(path, framework="np") as stream:
            notes: dict[str, Any] = json.loads((stream.metadata() or {})[KEY])
            del notes["sha256"]
    except (safetensors.SafetensorError, KeyError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(str(error)) from None
    return notes


def read_arrays(path: Path) -> Arrays:
    """Read what ``write_arrays`` wrote; raises DataError for any other file, OSError for one that cannot be read."""
    import safetensors

    try:
        with safetensors.safe_open(path, framework="np") as stream:
            notes = json.loads((stream.metadata() or {})[KEY])
            arrays = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118 (not a dict)
        recorded = notes.pop("sha256")
        actual = _checksum(arrays, notes)
    except (safetensors.SafetensorError, KeyError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(str(error)) from None
    if recorded != actual:
        raise DataError("its checksum differs")
    return Arrays(arrays, notes)


def is_intact(path: Path) -> bool:
    """Whether the file is there and every bit of it is what was written."""
    try:
        read_arrays(path)
    except (OSError, DataError):
        return False
    return True


def _checksum(arrays: Mapping[str, np.ndarray], notes: Mapping[str, Any]) -> str:
    digest = hashlib.sha256(json.dumps(notes, sort_keys=True).encode())
    for name, array in sorted(arrays.items()):
        digest.update(json.dumps([name, str(array.dtype), array.shape]).encode())
        digest.update(_contiguous(array).data)
    return digest.hexdigest()


def _contiguous(array: np.ndarray) -> np.ndarray:
    import numpy as np

    return np.ascontiguousarray(array)
