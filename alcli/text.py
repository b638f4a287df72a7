"""Names from outside, made harmless for people's eyes."""

from __future__ import annotations


def visible(text: str, keep: str = "\n") -> str:
    """The text with control characters escaped, so that a file name can steer neither a terminal nor a line's order."""
    return "".join(c if c.isprintable() or c in keep else c.encode("unicode_escape").decode() for c in text)
