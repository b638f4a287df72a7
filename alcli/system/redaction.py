"""Secrets, by value: a secret registered here never appears in a message, log or report."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from urllib.parse import quote

HIDDEN = "[secret]"
SHORTEST = 8
"""Minimum length of a secret; anything shorter would match ordinary words."""
OWN = ("ALCLI_", "SA_")
"""Variables that begin so are alcli's own: settings, addresses with passwords, tokens."""
PUBLIC = ("ALCLI_OFFLINE",)
_SECRETS: set[str] = set()


def keep_secret(value: str) -> None:
    """Register a secret, which ``redact`` then replaces, plain or URL-quoted; ignored when it is too short."""
    if len(value) >= SHORTEST:
        _SECRETS.update({value, quote(value, safe="")})


def redact(text: str) -> str:
    """Replace every registered secret in the text."""
    # Longest first: one secret may be a prefix of another.
    for secret in sorted(_SECRETS, key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    return text


def without_secrets(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment for a program of the user: without alcli's own settings and tokens."""
    kept = {name: value for name, value in environ.items() if not name.startswith(OWN) or name in PUBLIC}
    return {name: value for name, value in kept.items() if redact(value) == value}


class Redaction(logging.Filter):
    """Removes secrets from log records before they are written."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Redact the record; always True, so every record is kept."""
        record.msg, record.args = redact(record.getMessage()), None
        return True
