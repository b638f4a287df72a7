"""Where items and annotations live, and where the list goes. One file = one platform."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from alcli.annotations import Annotation
from alcli.items import Item, QueryRow, QueuedItem, Receipt, Refusal


class Platform(Protocol):
    """What alcli asks of a platform; made as ``Platform(options: PlatformOptions, cache: Path)``.

    A platform may have ``Options``, settings of its own that extend ``PlatformOptions``; it is then made with an
    instance of them.
    """

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


@runtime_checkable
class Dispatching(Protocol):
    """What some platforms can do beside: hand out work. Each may be done twice with the effect of once."""

    def assign(self, rows: Sequence[QueryRow], users: Sequence[str]) -> None:
        """Deal the rows to the users, round robin; what somebody has stays with them."""
        ...

    def set_status(self, rows: Sequence[QueryRow], status: str) -> None:
        """Give the rows' items a status of the platform's workflow."""
        ...

    def add_to_subset(self, rows: Sequence[QueryRow], subset: str) -> None:
        """Put the rows' items into a named set."""
        ...

    def prelabel(self, items: Sequence[Item], annotations: Sequence[Annotation]) -> list[Refusal]:
        """Give annotators something to correct; statuses stay; returns what was refused."""
        ...


class Checking(Protocol):
    """A platform whose options `alcli init` checks before it makes a workspace."""

    @classmethod
    def check(cls, options: Any) -> None:
        """Raises UsageError for options, paths resolved, with which no cycle can begin; asks no other machine."""
        ...


@runtime_checkable
class Examinable(Protocol):
    """A platform on another machine, which ``alcli doctor --online`` asks questions."""

    def checks(self) -> Iterator[tuple[str, bool, str]]:
        """(what, whether it is good, what was found)."""
        ...
