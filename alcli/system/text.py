"""Texts for people: names from outside made harmless, and the nearest name to a misspelt one."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable
from urllib.parse import quote

ESCAPE = re.compile("%[0-9A-F]{2}")
UNESCAPED = "/ !#$&'()*+,:;=?@[]~"


def visible(text: str, keep: str = "\n") -> str:
    """The text with control characters escaped, so that a file name can steer neither a terminal nor a line's order."""
    return "".join(c if c.isprintable() or c in keep else c.encode("unicode_escape").decode() for c in text)


def is_text(text: str) -> bool:
    """Whether the text can be written down: half of a surrogate pair, as JSON can hold it, cannot."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A sentence that names the nearest known names, or all of them."""
    choices = list(known)
    near = difflib.get_close_matches(name, choices, n=3, cutoff=0.5)
    if near:
        return f"Did you mean {' or '.join(near)}?"
    return f"There are: {', '.join(choices)}."


def readable(name: str) -> str:
    """The name of a file as valid UTF-8.

    Bytes that are not UTF-8 are percent-escaped; so is the percent sign of a name that could be taken for such a one,
    so that two files never share a name.
    """
    raw = os.fsencode(name)
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        return quote(raw, safe=UNESCAPED)
    return text if not ESCAPE.search(text) else quote(raw, safe=UNESCAPED)
