"""Files compared by what is in them; pytest shows a difference of megabytes of bytes for hours."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path


def hashes(files: Iterable[Path]) -> dict[str, str]:
    """The hash of each file's content by the file's name."""
    return {file.name: sha256(file.read_bytes()).hexdigest() for file in files}
