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


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A sentence that suggests the most similar names, or lists all of them."""
    choices = list(known)
    near = difflib.get_close_matches(name, choices, n=3, cutoff=0.5)
    if near:
        return f"Did you mean {' or '.join(near)}?"
    return f"There are: {', '.join(choices)}."


def readable(name: str) -> str:
    """A file name as valid UTF-8: the name itself, unless it is not UTF-8.

    A byte that is not UTF-8 becomes a private-use character, U+EF80 to U+EFFF (the "OPTU" mapping of MirBSD). Such a
    character in a name is itself written byte by byte, so that two files never get the same name.
    """
    text = os.fsencode(name).decode("utf-8", "surrogateescape")
    return SPECIAL.sub(_escape_bytes, text) if SPECIAL.search(text) else text


def _escape_bytes(character: re.Match[str]) -> str:
    return "".join(chr(ESCAPED + byte) for byte in character[0].encode("utf-8", "surrogateescape"))
