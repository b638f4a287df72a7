"""The plain values that travel between platform, model and list: frozen, and checked at birth."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from alcli.errors import DataError
from alcli.system.hashing import sha256_of_text
from alcli.system.text import is_text

LABELED = "labeled"
UNLABELED = "unlabeled"
SKIPPED = "skipped"
QUARANTINED = "quarantined"
AL, RANDOM, RECHECK = "al", "random", "recheck"
"""The arms of a list: what the strategy asked for, what chance did, and annotations to look at again."""
STATES = (LABELED, UNLABELED, SKIPPED, QUARANTINED)
MOST_PIXELS = 100_000_000
"""Of an image or a mask; what claims more is refused before it fills the memory."""


@dataclass(frozen=True)
class Item:
    """One image a person can annotate.

    Attributes:
        id: what the platform knows it by; unique in the project, valid UTF-8.
        name: what people know it by; unique in its folder.
        uri: where its pixels are (``file:`` or ``https:``).
        folder: the platform's folder, "" for the root.
        state: labeled, unlabeled or skipped, as the platform says now.
        version: changes whenever the pixels, the state or the annotation change; compared, never parsed.
        assignees: who has it on the desk, comma-separated; "" for nobody.
    """

    id: str
    name: str
    uri: str
    folder: str = ""
    state: str = UNLABELED
    version: str = ""
    assignees: str = ""

    def __post_init__(self) -> None:
        if not self.id or not self.name:
            raise DataError(f"An item needs an id and a name, got id={self.id!r} name={self.name!r}.")
        for text in (self.id, self.name, self.uri, self.folder, self.version, self.assignees):
            if not text.isascii() and not is_text(text):
                raise DataError(f"An item cannot keep {text!r}, which is no valid text.")
        if self.state not in STATES:
            raise DataError(f"{self.name!r}: unknown state {self.state!r}; allowed: {', '.join(STATES)}.")


@dataclass(frozen=True)
class Refusal:
    """Something that cannot be used, and why: an image, or an annotation without one.

    Attributes:
        passing: it may be usable at the next try (a disk not mounted): reported each time, never remembered.
    """

    id: str
    name: str
    reason: str
    version: str = ""
    passing: bool = False

    def __post_init__(self) -> None:
        # It may quote what was refused for being no text, and must be written down all the same.
        for key in ("id", "name", "reason"):
            text = getattr(self, key)
            if not is_text(text):
                object.__setattr__(self, key, text.encode("utf-8", "backslashreplace").decode("utf-8"))


@dataclass(frozen=True)
class ImageFacts:
    """What an image file was found to be: the hash of its bytes, and its upright size in pixels."""

    sha256: str
    width: int
    height: int


@dataclass(frozen=True)
class Pool:
    """The items of one project, each labeled, unlabeled, skipped or quarantined."""

    items: Mapping[str, Item]
    quarantined: frozenset[str] = frozenset()

    def in_state(self, state: str) -> list[Item]:
        """Items of one state in the order of their ids."""
        return [item for _, item in sorted(self.items.items()) if self.state(item) == state]

    def in_state_of_platform(self, state: str) -> list[Item]:
        """Items of one state in the order of their ids, quarantine aside."""
        return [item for _, item in sorted(self.items.items()) if item.state == state]

    def state(self, item: Item) -> str:
        """The state after quarantine has been taken into account."""
        return QUARANTINED if item.id in self.quarantined else item.state

    def counts(self) -> dict[str, int]:
        """Number of items per state, every state named."""
        counts = dict.fromkeys(STATES, 0)
        for item in self.items.values():
            counts[self.state(item)] += 1
        return counts


@dataclass(frozen=True)
class QueryRow:
    """One line of the priority list.

    Attributes:
        rank: 1 is asked for first; no ties.
        score: the acquisition score, finite, higher = annotate sooner; only its order means anything.
        asked: whether the row lies inside this cycle's budget.
        arm: who put it there: the strategy, chance, or the audit of annotations (the item is annotated already).
        percentile: share of the other rows that come later, in percent; None where that is not known.
        reason: why it is asked for, in words; empty where the strategy's name says it all.
    """

    rank: int
    item: Item
    score: float
    asked: bool
    arm: str = AL
    percentile: float | None = None
    reason: str = ""


@dataclass(frozen=True)
class QueuedItem:
    """One place in the platform's queue, as annotators will be given it."""

    position: int
    name: str
    item_id: str
    asked: bool | None = None


@dataclass(frozen=True)
class Receipt:
    """What the platform did with one row: ``accepted``, or why not."""

    item_id: str
    position: int
    accepted: bool
    reason: str = ""


def fingerprint(items: Iterable[Item]) -> str:
    """A hash that changes with the items, their versions and their order."""
    return sha256_of_text(*(part for item in items for part in (item.id, item.version)))
