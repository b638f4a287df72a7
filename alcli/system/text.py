"""Text for people: safe display of untrusted names, and suggestions for misspelled ones."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable
from urllib.parse import quote

ESCAPE = re.compile("%[0-9A-F]{2}")
UNESCAPED = "/ !#$&'()*+,:;=?@[]~"


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


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A sentence that suggests the most similar names, or lists all of them."""
    choices = list(known)
    near = difflib.get_close_matches(name, choices, n=3, cutoff=0.5)
    if near:
        return f"Did you mean {' or '.join(near)}?"
    return f"There are: {', '.join(choices)}."


def readable(name: str) -> str:
    """A file name as valid UTF-8.

    A name that is not UTF-8 is percent-encoded, and so is one that already looks percent-encoded, so that two files
    never get the same name.
    """
    raw = os.fsencode(name)
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        return quote(raw, safe=UNESCAPED)
    return text if not ESCAPE.search(text) else quote(raw, safe=UNESCAPED)
