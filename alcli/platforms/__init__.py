"""Where items and annotations live, and where the list goes. One file = one platform."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from alcli.items import Annotation, Item, QueryRow, QueuedItem, Receipt, Refusal


class Platform(Protocol):
    """What alcli asks of a platform; made as ``Platform(options: PlatformOptions, cache: Path)``."""

    def items(self) -> Iterator[Item | Refusal]:
        """Every item, and what should be one but cannot; complete, or an error."""
        ...

    def annotations(self, items: Sequence[Item]) -> Iterator[Annotation | Refusal]:
        """One answer for each item asked for, in that order, or an error naming the missing."""
        ...

    def image(self, item: Item) -> Path:
        """A local file with the item's pixels, downloaded once, its name derived from a hash."""
        ...

    def push(self, query: Sequence[QueryRow]) -> Iterator[Receipt]:
        """Put the rows into the queue; setting a position twice is the same as once."""
        ...

    def queue(self) -> Sequence[QueuedItem]:
        """What annotators will be given now, in order."""
        ...
