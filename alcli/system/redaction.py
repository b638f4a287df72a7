"""Secrets by value: what is registered here appears in no message, log or report."""

from __future__ import annotations

import logging
from urllib.parse import quote

HIDDEN = "[secret]"
SHORTEST = 8
"""Characters of the shortest text that can be a secret; a shorter one stands in every other sentence."""
_SECRETS: set[str] = set()


def keep_secret(value: str) -> None:
    """From now on ``redacted`` takes this text, and its form in a URL, out, unless it is too short for a secret."""
    if len(value) >= SHORTEST:
        _SECRETS.update({value, quote(value, safe="")})


def redacted(text: str) -> str:
    """The text with every registered secret replaced."""
    # Longest first: a secret may be the beginning of another.
    for secret in sorted(_SECRETS, key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    return text


class Redaction(logging.Filter):
    """Takes secrets out of a log's lines before they are written."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Always True: the line stays, the secret goes."""
        record.msg, record.args = redacted(record.getMessage()), None
        return True
