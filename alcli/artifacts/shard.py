"""One share of a scoring pass; it imports nothing, so that reading ``--shard 3/16`` costs nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

Each = TypeVar("Each")


@dataclass(frozen=True)
class Shard:
    """Share ``number`` of ``of``, counted from 1."""

    number: int
    of: int

    def share(self, parts: Sequence[Each]) -> Sequence[Each]:
        """The parts of this shard: every ``of``-th one."""
        return parts[self.number - 1 :: self.of]

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"
