"""Text for people: safe display of untrusted names, suggestions for misspelled ones, and singular or plural."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable

ESCAPED = 0xEF00
"""First of the characters that stand for bytes; only 0x80 to 0xFF can be invalid in UTF-8."""
SPECIAL = re.compile("[\\uef80-\\uefff\\udc80-\\udcff]")
"""Bytes that are not UTF-8, as Python decodes them (surrogates), and the characters that stand for bytes."""


def visible(text: str, keep: str = "\n") -> str:
    """Escape control characters, so that a file name cannot control the terminal or reverse the text direction."""
    return "".join(c if c.isprintable() or c in keep else c.encode("unicode_escape").decode() for c in text)


def is_text(text: str) -> bool:
    """Whether the string can be encoded as UTF-8; a lone surrogate, which JSON allows, cannot."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def quantity(count: float, noun: str) -> str:
    """A number with its noun: ``1 image``, ``2 images``, ``0 classes``, ``3 strategies``, ``1.5 hours``."""
    if count != 1:
        stem = noun.removesuffix("y")
        # "day" has "days", "strategy" has "strategies".
        ies = stem != noun and stem[-1] not in "aeou"
        noun = f"{stem}ies" if ies else f"{noun}es" if noun.endswith(("s", "x")) else f"{noun}s"
    return f"{f'{count:g}' if isinstance(count, float) else count} {noun}"


def shortened(name: str, most: int) -> str:
    """The name with at most ``most`` characters; what is cut off is an ellipsis."""
    return name if len(name) <= most else f"{name[: most - 1]}…"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A sentence that suggests similar names, or lists all of them."""
    choices = list(known)
    if near := similar_names(name, choices):
        return f"Did you mean {' or '.join(near)}?"
    return f"There are: {', '.join(choices)}."


def similar_names(name: str, known: Iterable[str]) -> list[str]:
    """At most three names for which this one may be a typing error, the most similar first.

    One is the start of the other, or a third of the letters is wrong at most; case and ``-_.`` do not count.
    """
    typed = _letters(name)
    rated = []
    for choice in known:
        other = _letters(choice)
        is_start = min(len(typed), len(other)) >= 3 and (typed.startswith(other) or other.startswith(typed))
        if typed == other or is_start or _typing_errors(typed, other) <= max(1, len(typed) // 3):
            rated.append((-difflib.SequenceMatcher(None, typed, other).ratio(), choice))
    return [choice for _, choice in sorted(rated)[:3]]


def _letters(name: str) -> str:
    return re.sub("[-_.]", "", name.casefold())


def _typing_errors(a: str, b: str) -> int:
    """Letters to insert, delete, replace or swap with their neighbor (optimal string alignment distance)."""
    if abs(len(a) - len(b)) > max(1, len(a) // 3):
        return len(a) + len(b)
    before: list[int] = []
    last = list(range(len(b) + 1))
    for i, letter in enumerate(a, 1):
        line = [i]
        for j, other in enumerate(b, 1):
            cost = min(last[j] + 1, line[j - 1] + 1, last[j - 1] + (letter != other))
            if i > 1 and j > 1 and letter == b[j - 2] and a[i - 2] == other:
                cost = min(cost, before[j - 2] + 1)
            line.append(cost)
        before, last = last, line
    return last[-1]


def readable(name: str) -> str:
    """A file name as valid UTF-8: the name itself, unless it is not UTF-8.

    A byte that is not UTF-8 becomes a private-use character, U+EF80 to U+EFFF (the "OPTU" mapping of MirBSD). Such a
    character in a name is itself written byte by byte, so that two files never get the same name.
    """
    if name.isascii():
        return name
    text = os.fsencode(name).decode("utf-8", "surrogateescape")
    return SPECIAL.sub(_escape_bytes, text) if SPECIAL.search(text) else text


def _escape_bytes(character: re.Match[str]) -> str:
    return "".join(chr(ESCAPED + byte) for byte in character[0].encode("utf-8", "surrogateescape"))
