"""Frozen records that platforms, models and the priority list exchange; validated on construction."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from urllib.parse import quote, unquote_to_bytes, urlsplit

from alcli.errors import DataError
from alcli.system.hashing import sha256_of_texts
from alcli.system.text import is_text

LABELED = "labeled"
UNLABELED = "unlabeled"
SKIPPED = "skipped"
QUARANTINED = "quarantined"
AL, RANDOM, RECHECK = "al", "random", "recheck"
"""Why an item is in the list: chosen by the strategy, at random, or as an annotation to check again."""
STATES = (LABELED, UNLABELED, SKIPPED, QUARANTINED)
MOST_PIXELS = 100_000_000
"""Maximum size of an image or a mask; a larger one is refused before it is decoded."""
PICTURE_FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "TIFF", "GIF")
"""Only these images and masks are decoded: for some others (PostScript), Pillow would start external programs."""


@dataclass(frozen=True, slots=True)  # a pool holds a million of them
class Item:
    """One image a person can annotate.

    Attributes:
        id: the platform's identifier; unique in the project, valid UTF-8.
        name: the name shown to people; unique in its folder.
        uri: the address of the image (``file:`` or ``https:``).
        folder: the platform's folder, "" for the root.
        state: labeled, unlabeled or skipped, according to the platform.
        version: changes whenever the pixels, the state or the annotation change; compared, never parsed.
        assignees: ids of the people it is assigned to, comma-separated; "" for nobody.
    """

    id: str
    name: str
    uri: str
    folder: str = ""
    state: str = UNLABELED
    version: str = ""
    assignees: str = ""

    def __post_init__(self) -> None:
        texts = (self.id, self.name, self.uri, self.folder, self.version, self.assignees)
        if "".join(texts).isascii() and self.id and self.name and self.state in STATES:
            return  # as almost every item does: a pool holds a million
        if not self.id or not self.name:
            raise DataError(f"An item needs an id and a name, got id={self.id!r} name={self.name!r}.")
        for text in texts:
            if not is_text(text):
                raise DataError(f"An item cannot store {text!r}, which is not valid text.")
        if self.state not in STATES:
            raise DataError(f"{self.name!r}: unknown state {self.state!r}; allowed: {', '.join(STATES)}.")


@dataclass(frozen=True)
class Refusal:
    """An image, or an annotation without an image, that cannot be used, and the reason.

    Attributes:
        transient: it may work next time (a disk not mounted); reported every time, never quarantined.
    """

    id: str
    name: str
    reason: str
    version: str = ""
    transient: bool = False

    def __post_init__(self) -> None:
        # The strings may quote invalid text, and must still be storable.
        for key in ("id", "name", "reason"):
            text = getattr(self, key)
            if not is_text(text):
                object.__setattr__(self, key, text.encode("utf-8", "backslashreplace").decode("utf-8"))


@dataclass(frozen=True)
class ImageFacts:
    """What an image file is, once decoded.

    Attributes:
        sha256: of the file.
        width, height: of the upright image, in pixels.
        side: what decides whether it is held out: a hash of its pixels, which metadata does not change. An image that
            alcli knew before it looked at pixels keeps the hash of the file as it was then.
    """

    sha256: str
    width: int
    height: int
    side: str = ""


@dataclass(frozen=True)
class Pool:
    """The items of one project, each labeled, unlabeled, skipped or quarantined."""

    items: Mapping[str, Item]
    quarantined: frozenset[str] = frozenset()

    def in_state(self, state: str) -> list[Item]:
        """Items of one state in the order of their ids."""
        return sorted([item for item in self.items.values() if self.state(item) == state], key=attrgetter("id"))

    def in_state_of_platform(self, state: str) -> list[Item]:
        """Items of one state in the order of their ids, quarantine aside."""
        return sorted([item for item in self.items.values() if item.state == state], key=attrgetter("id"))

    def state(self, item: Item) -> str:
        """The item's state; quarantine overrides the platform's state."""
        return QUARANTINED if item.id in self.quarantined else item.state

    def counts(self) -> dict[str, int]:
        """Number of items per state, including states without items."""
        counts = dict.fromkeys(STATES, 0)
        for item in self.items.values():
            counts[self.state(item)] += 1
        return counts


@dataclass(frozen=True, slots=True)
class QueryRow:
    """One line of the priority list.

    Attributes:
        rank: 1 is annotated first; no ties.
        score: the acquisition score, finite, higher = annotate sooner; only the order is meaningful.
        asked: whether the row is within this cycle's budget.
        source: AL (the strategy), RANDOM or RECHECK (an annotated item to check again).
        percentile: percentage of the other rows that rank lower; None if it is not known.
        reason: why the row is in the list; empty if the strategy's name says enough.
    """

    rank: int
    item: Item
    score: float
    asked: bool
    source: str = AL
    percentile: float | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class QueuedItem:
    """One item in the platform's queue, at the position at which annotators will receive it."""

    position: int
    name: str
    item_id: str
    asked: bool | None = None


@dataclass(frozen=True, slots=True)
class Receipt:
    """Whether the platform accepted a row, and if not, the reason."""

    item_id: str
    position: int
    accepted: bool
    reason: str = ""


def fingerprint(items: Iterable[Item]) -> str:
    """A hash that changes with the items, their versions and their order."""
    return sha256_of_texts(part for item in items for part in (item.id, item.version))


def path_to_uri(path: Path | str) -> str:
    """A ``file:`` URI that keeps every byte of the path."""
    return "file://" + quote(os.fsencode(path))


def uri_to_path(uri: str) -> Path:
    """The path of a URI from ``path_to_uri``."""
    return Path(os.fsdecode(unquote_to_bytes(urlsplit(uri).path)))
